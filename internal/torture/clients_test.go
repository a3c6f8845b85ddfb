package torture

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A user belongs to a team of clients, which call the server for it at the same
// time, and then go on to the next user. So each history is short enough to be
// checked.
const (
	teams   = 4
	members = 4
	// perMember is the number of a member's calls for a user. Those in bursts are
	// the same code from all members at once.
	perMember = 15
	// perUser includes the calls after all faults, which read what is stored.
	perUser = members*perMember + keys + 1
)

var (
	bursts = []int{4, 8, 12}
	// guesses are the calls in which the members guess at every third user's codes,
	// so that some are blocked.
	guesses = []int{6, 7}
)

// A draw is the random part of a planned call. Its meaning depends on what the
// client knows when it makes the call, such as tokens.
type draw struct {
	kind, a, b float64
	key        int8
	replica    int
	wrong      string
}

func planned(rng *rand.Rand) draw {
	return draw{
		kind: rng.Float64(), a: rng.Float64(), b: rng.Float64(), key: int8(rng.IntN(keys)), replica: rng.IntN(2),
		wrong: fmt.Sprintf("%0*d", digits, rng.IntN(100_000_000)),
	}
}

// A run is the clients, and what they have recorded.
type run struct {
	cluster *cluster
	seed    uint64
	began   time.Time
	// calls counts the recorded calls, and those of each answer.
	calls    atomic.Int64
	unknowns atomic.Int64
	// longest is the longest time from a call without an answer to the next success of
	// the client, and longestAt when that was.
	waits              sync.Mutex
	longest, longestAt time.Duration
	counts             sync.Map // of *atomic.Int64 by text
	failed             atomic.Pointer[error]
	users              []*subject
	// faults are those that happened, each with its time.
	faults []string
}

// fail ends the run with its first error.
func (r *run) fail(err error) { r.failed.CompareAndSwap(nil, &err) }

func (r *run) err() error {
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (r *run) count(what string) {
	n, ok := r.counts.Load(what)
	if !ok {
		n, _ = r.counts.LoadOrStore(what, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

func (r *run) counted(what string) int64 {
	n, ok := r.counts.Load(what)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// A subject is a user and what the clients know of it.
type subject struct {
	id      string
	guessed bool

	mu           sync.Mutex
	history      []porcupine.Operation
	tokens       [keys]token
	old          []token
	incarnations map[string]int16
	secrets      []*secret
	// used are codes that were sent.
	used []code
	// together is the code of each burst.
	together map[int]code

	barrier barrier
}

type token struct {
	text               string
	key                int8
	incarnation, epoch int16
	add                bool
}

// A secret is an authenticator with its label.
type secret struct {
	text   string
	label  int16
	id     string // "" if no answer had it
	params totp.Parameters
	drift  int64
	// near are the codes that a server may accept within the user's time. No two
	// codes of a user are the same among them.
	near map[string]int64
	next int64
}

// A code is one of a step, or a wrong one without a secret.
type code struct {
	text   string
	secret *secret
	step   int64
}

// reach is how far from now, in seconds, a server's clock and the drift can make a
// code right: see maxStep.
const reach = 2*maxStep + period*drift + 60

func newSecret(text string, label int16, p totp.Parameters, drift int64) (*secret, error) {
	s := &secret{text: text, label: label, params: p, drift: drift, near: map[string]int64{}}
	now := p.Step(time.Now())
	for step := now - int64(reach/p.Period); step <= now+int64(reach/p.Period); step++ {
		c, err := totp.Code(text, step, p)
		if err != nil {
			return nil, err
		}
		if _, twice := s.near[c]; twice {
			s.near[c] = -1
		} else {
			s.near[c] = step
		}
	}
	s.next = now - drift + 1
	return s, nil
}

func (s *secret) code(step int64) code {
	text, err := totp.Code(s.text, step, s.params)
	if err != nil {
		panic(err) // newSecret has computed codes of it
	}
	return code{text, s, step}
}

// unique reports whether a code belongs to one step of one authenticator, or to
// none if its secret is nil. The caller holds mu.
func (u *subject) unique(c code) bool {
	for _, s := range u.secrets {
		if step, near := s.near[c.text]; near && (s != c.secret || step != c.step) {
			return false
		}
	}
	return true
}

// A barrier lets the members of a team go on together.
type barrier struct {
	mu      sync.Mutex
	waiting int
	open    chan struct{}
}

func (b *barrier) wait() {
	b.mu.Lock()
	if b.open == nil {
		b.open = make(chan struct{})
	}
	open := b.open
	if b.waiting++; b.waiting == members {
		b.waiting, b.open = 0, nil
		close(open)
	}
	b.mu.Unlock()
	<-open
}

// A client is a member of a team.
type client struct {
	*run
	number int
	links  [2]link
}

// A link is a connection to a replica.
type link struct {
	conn net.Conn
	r    *bufio.Reader
}

// start makes the calls of all users, until there is an error.
func (r *run) start(users int) {
	var wg sync.WaitGroup
	r.users = make([]*subject, users)
	for i := range r.users {
		r.users[i] = &subject{id: fmt.Sprint("user-", i), guessed: i%3 == 0, incarnations: map[string]int16{}, together: map[int]code{}}
	}
	for team := range teams {
		var clients [members]*client
		for m := range clients {
			clients[m] = &client{run: r, number: team*members + m}
		}
		wg.Go(func() {
			for i := team; i < users && r.err() == nil; i += teams {
				var together sync.WaitGroup
				for m, c := range clients {
					together.Go(func() {
						rng := rand.New(rand.NewPCG(r.seed, uint64(i*members+m)))
						for n := range perMember {
							if slices.Contains(bursts, n) {
								r.users[i].barrier.wait()
							}
							d := planned(rng)
							if r.err() != nil {
								continue // the others still wait at the barriers
							}
							if err := c.act(r.users[i], n, m, d); err != nil {
								r.fail(fmt.Errorf("user %d: %w", i, err))
							}
						}
					})
				}
				together.Wait()
			}
		})
	}
	wg.Wait()
}

// readBack makes the last calls of each user, which return all that is stored.
func (r *run) readBack() {
	var wg sync.WaitGroup
	for n := range teams * members {
		wg.Go(func() {
			c := &client{run: r, number: n}
			for i := n; i < len(r.users) && r.err() == nil; i += teams * members {
				u := r.users[i]
				for key := range int8(keys) {
					if err := c.track(u, draw{key: key, replica: i % 2}); err != nil {
						r.fail(err)
					}
				}
				if err := c.list(u, draw{replica: i % 2}); err != nil {
					r.fail(err)
				}
			}
		})
	}
	wg.Wait()
}

// act makes the n-th call of a member for a user.
func (c *client) act(u *subject, n, member int, d draw) error {
	if n == 0 && member == 0 {
		return c.importNew(u, d)
	}
	if n == 0 {
		return c.track(u, d)
	}
	if at := slices.Index(bursts, n); at >= 0 {
		if at == 0 {
			d.key = 0 // in one challenge, later in several
		}
		if code, ok := u.burst(n); ok {
			return c.verify(u, d, code)
		}
	}
	if u.guessed && slices.Contains(guesses, n) {
		return c.verify(u, d, u.wrong(d))
	}
	switch k := d.kind; {
	case k < 0.16:
		return c.track(u, d)
	case k < 0.38:
		if code, ok := u.right(d); ok {
			return c.verify(u, d, code)
		}
		return c.importNew(u, d)
	case k < 0.42:
		if code, ok := u.late(d); ok {
			return c.verify(u, d, code)
		}
		return c.validate(u, d)
	case k < 0.54:
		return c.verify(u, d, u.wrong(d))
	case k < 0.64:
		if code, ok := u.again(d); ok {
			return c.verify(u, d, code)
		}
		return c.validate(u, d)
	case k < 0.82:
		return c.validate(u, d)
	case k < 0.86:
		return c.unlock(u, d)
	case k < 0.88:
		return c.endTokens(u, d)
	case k < 0.90:
		return c.remove(u, d)
	case k < 0.915:
		return c.deleteUser(u, d)
	case k < 0.945:
		return c.enroll(u, d)
	case k < 0.97:
		return c.importNew(u, d)
	}
	return c.list(u, d)
}

// pick returns an authenticator by a number from 0 to 1, mostly a new one, or nil.
func (u *subject) pick(x float64) *secret {
	if len(u.secrets) == 0 {
		return nil
	}
	return u.secrets[int(math.Sqrt(x)*float64(len(u.secrets)))]
}

// right returns a code that is within the drift by the clock of the test: mostly
// the one that other clients send too, otherwise the next one.
func (u *subject) right(d draw) (code, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.pick(d.a)
	if s == nil {
		return code{}, false
	}
	last := s.params.Step(time.Now()) + s.drift - 1
	if d.b < 0.5 || s.next == 0 {
		s.next++
	}
	if d.b > 0.95 { // not in order: the codes before it are spent with it
		s.next += 2
	}
	s.next = min(s.next, last)
	return u.use(s.code(s.next))
}

// use records a code that is sent. ok is false if it is not unique.
func (u *subject) use(c code) (_ code, ok bool) {
	if !u.unique(c) {
		return code{}, false
	}
	u.used = append(u.used, c)
	return c, true
}

// burst returns the code that all members send in their n-th call.
func (u *subject) burst(n int) (code, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c, ok := u.together[n]; ok {
		return c, c.secret != nil
	}
	var c code
	if s := u.pick(0.999); s != nil {
		s.next = min(s.next+1, s.params.Step(time.Now())+s.drift-1)
		c, _ = u.use(s.code(s.next))
	}
	u.together[n] = c
	return c, c.secret != nil
}

// late returns a code of a step that is out of the drift, by the test's clock.
func (u *subject) late(d draw) (code, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.pick(d.a)
	if s == nil {
		return code{}, false
	}
	c := s.code(s.params.Step(time.Now()) + []int64{-2, -1, 1, 2}[int(d.b*4)]*(s.drift+1))
	return c, u.unique(c)
}

func (u *subject) wrong(d draw) code {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := code{text: d.wrong}
	for !u.unique(c) {
		c.text = c.text[1:] + c.text[:1]
		if c.text == d.wrong {
			c.text = fmt.Sprintf("%0*d", digits, time.Now().UnixNano()%100_000_000)
		}
	}
	return c
}

// again returns a code that was sent before.
func (u *subject) again(d draw) (code, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.used) == 0 {
		return code{}, false
	}
	c := u.used[int(math.Sqrt(d.a)*float64(len(u.used)))]
	return c, u.unique(c)
}

// token returns the newest token of an action, or sometimes an old one of any.
func (u *subject) token(d draw) (token, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if d.b*10-math.Floor(d.b*10) < 0.08 && len(u.old) > 0 {
		return u.old[int(d.a*float64(len(u.old)))], true
	}
	t := u.tokens[d.key]
	return t, t.text != ""
}

// drop forgets a token that is void.
func (u *subject) drop(t token) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tokens[t.key].text == t.text {
		u.tokens[t.key] = token{}
	}
}

func (u *subject) path(rest string) string { return "/v1/users/" + u.id + rest }

func (c *client) track(u *subject, d draw) error {
	body := fmt.Sprintf(`{"idempotencyKey":"key-%d"}`, d.key)
	if d.a < 0.4 {
		body = fmt.Sprintf(`{"idempotencyKey":"key-%d","scope":"add:authenticators"}`, d.key)
	}
	return c.record(u, d, call{kind: track, key: d.key}, request{"POST", u.path("/actions/signIn"), backendKey, body}, func(r response) (answer, error) {
		a := answer{status: 200, state: state(slices.Index(stateNames[:], r.State)), enrolled: r.IsEnrolled}
		t, incarnation, err := u.held(r.Token, d.key)
		if err != nil {
			return a, err
		}
		a.incarnation, a.epoch = incarnation, t.epoch
		return a, nil
	})
}

// held keeps a token for later calls.
func (u *subject) held(text string, key int8) (t token, incarnation int16, err error) {
	var claims struct {
		Scope string
		Other struct {
			Incarnation string
			Epoch       int16
		}
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return t, 0, errors.New("the answer has no token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		return t, 0, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	incarnation, known := u.incarnations[claims.Other.Incarnation]
	if !known {
		incarnation = int16(len(u.incarnations) + 1)
		u.incarnations[claims.Other.Incarnation] = incarnation
	}
	t = token{text, key, incarnation, claims.Other.Epoch, strings.Contains(claims.Scope, "add:authenticators")}
	if was := u.tokens[key]; was.text != "" {
		u.old = append(u.old, was)
	}
	u.tokens[key] = t
	return t, incarnation, nil
}

func (c *client) verify(u *subject, d draw, code code) error {
	t, ok := u.token(d)
	if !ok {
		return c.track(u, d)
	}
	in := call{kind: verify, key: t.key, incarnation: t.incarnation, epoch: t.epoch, add: t.add}
	if code.secret != nil {
		in.label, in.step = code.secret.label, code.step
	}
	return c.judged(u, d, in, code.secret, request{"POST", "/v1/client/verify/totp", "Bearer " + t.text, `{"verificationCode":"` + code.text + `"}`}, func(r response) (answer, error) {
		a := answer{status: int16(r.status)}
		switch {
		case r.status != 200:
			if r.status == 401 {
				u.drop(t)
			}
		case r.IsVerified:
			a.verdict = accepted
			if _, _, err := u.held(r.AccessToken, t.key); err != nil {
				return a, err
			}
		case r.FailureReason == "CODE_INVALID_OR_EXPIRED":
			a.verdict = wrong
		case r.FailureReason == "MAX_ATTEMPTS_EXCEEDED":
			a.verdict = blocked
		default:
			return a, errors.New("the answer has no verdict")
		}
		return a, nil
	})
}

func (c *client) validate(u *subject, d draw) error {
	t, ok := u.token(d)
	if !ok {
		return c.track(u, d)
	}
	in := call{kind: validate, key: t.key, incarnation: t.incarnation, epoch: t.epoch, add: t.add}
	return c.record(u, d, in, request{"POST", "/v1/validate", backendKey, `{"token":"` + t.text + `"}`}, func(r response) (answer, error) {
		if r.State == "" {
			u.drop(t)
		}
		return answer{status: 200, state: state(slices.Index(stateNames[:], r.State))}, nil
	})
}

func (c *client) enroll(u *subject, d draw) error {
	t, ok := u.token(d)
	if !ok {
		return c.track(u, d)
	}
	in := call{kind: enroll, key: t.key, incarnation: t.incarnation, epoch: t.epoch, add: t.add}
	return c.record(u, d, in, request{"POST", "/v1/client/user-authenticators/totp", "Bearer " + t.text, ""}, func(r response) (answer, error) {
		a := answer{status: int16(r.status)}
		if r.status != 200 {
			return a, nil
		}
		s, err := u.add(r.Secret, totp.Parameters{Algorithm: totp.SHA1, Digits: digits, Period: 30}, 2)
		if err != nil {
			return a, err
		}
		u.identify(s, r.UserAuthenticatorID)
		a.label = s.label
		return a, nil
	})
}

// add adds a secret to those of the user.
func (u *subject) add(text string, p totp.Parameters, drift int64) (*secret, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s, err := newSecret(text, int16(len(u.secrets)+1), p, drift)
	if err == nil {
		u.secrets = append(u.secrets, s)
	}
	return s, err
}

func (u *subject) identify(s *secret, id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.id = id
}

// importNew imports an authenticator with a secret of the test.
func (c *client) importNew(u *subject, d draw) error {
	text, err := totp.NewSecret(rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %s %v", c.seed, u.id, d))))
	if err != nil {
		return err
	}
	s, err := u.add(text, totp.Parameters{Algorithm: totp.SHA1, Digits: digits, Period: period}, drift)
	if err != nil {
		return err
	}
	uri := fmt.Sprintf("otpauth://totp/x?secret=%s&digits=%d&period=%d", text, digits, period)
	body, err := json.Marshal(map[string]any{"verificationMethod": "AUTHENTICATOR_APP", "otpUri": uri})
	if err != nil {
		return err
	}
	return c.record(u, d, call{kind: importSecret, label: s.label}, request{"POST", u.path("/authenticators"), backendKey, string(body)}, func(r response) (answer, error) {
		if r.status == 200 {
			u.identify(s, r.Authenticator.UserAuthenticatorID)
		}
		return answer{status: int16(r.status)}, nil
	})
}

// known returns an authenticator whose id is known.
func (u *subject) known(d draw) (*secret, string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.pick(d.a); s != nil && s.id != "" {
		return s, s.id
	}
	return nil, ""
}

func (c *client) unlock(u *subject, d draw) error {
	s, id := u.known(d)
	if s == nil {
		return c.track(u, d)
	}
	path := "/v1/management/tenants/t1/users/" + u.id + "/authenticators/" + id + "/unlock"
	return c.judged(u, d, call{kind: unlock, label: s.label}, s, request{"POST", path, operatorKey, ""}, status)
}

func status(r response) (answer, error) { return answer{status: int16(r.status)}, nil }

func (c *client) endTokens(u *subject, d draw) error {
	return c.record(u, d, call{kind: endTokens}, request{"DELETE", u.path("/tokens"), backendKey, ""}, status)
}

func (c *client) remove(u *subject, d draw) error {
	s, id := u.known(d)
	if s == nil {
		return c.track(u, d)
	}
	return c.record(u, d, call{kind: removeAuthenticator, label: s.label}, request{"DELETE", u.path("/authenticators/" + id), backendKey, ""}, status)
}

func (c *client) deleteUser(u *subject, d draw) error {
	all := d.a < 0.5
	return c.record(u, d, call{kind: deleteUser, actions: all}, request{"DELETE", u.path(fmt.Sprintf("?actions=%v", all)), backendKey, ""}, status)
}

func (c *client) list(u *subject, d draw) error {
	return c.record(u, d, call{kind: list}, request{"GET", u.path("/authenticators"), backendKey, ""}, func(r response) (answer, error) {
		a := answer{status: int16(r.status)}
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, listed := range r.list {
			i := slices.IndexFunc(u.secrets, func(s *secret) bool { return s.id == listed.UserAuthenticatorID })
			if i < 0 {
				a.others++
			} else {
				a.labels |= 1 << u.secrets[i].label
			}
		}
		return a, nil
	})
}

// A request is an HTTP request.
type request struct{ method, path, authorization, body string }

// A response has the fields of all answers.
type response struct {
	status                            int
	State, Token, AccessToken, Secret string
	FailureReason, ErrorCode          string
	UserAuthenticatorID               string
	IsEnrolled, IsVerified            bool
	Authenticator                     struct{ UserAuthenticatorID string }
	list                              []struct{ UserAuthenticatorID string }
}

// statuses are the answers that the model knows; any other but 5xx ends the run.
var statuses = map[kind][]int{
	track: {200}, verify: {200, 400, 401}, validate: {200}, enroll: {200, 400, 401, 403}, importSecret: {200, 400},
	unlock: {200, 404}, endTokens: {200, 404}, removeAuthenticator: {200, 404}, deleteUser: {200}, list: {200},
}

func (c *client) record(u *subject, d draw, in call, req request, read func(response) (answer, error)) error {
	return c.judged(u, d, in, nil, req, read)
}

// judged makes a call and records it. If a step of a secret is judged, the call gets
// the times at which that may have happened.
func (c *client) judged(u *subject, d draw, in call, s *secret, req request, read func(response) (answer, error)) error {
	replica := d.replica % len(c.cluster.replicas)
	deadline := time.Now().Add(patience)
	for {
		r := c.cluster.replicas[replica]
		wall, called := time.Now(), time.Since(c.began)
		res, err := c.links[replica].send(r, req)
		returned := time.Since(c.began)
		if errors.Is(err, errNotSent) {
			if time.Now().After(deadline) {
				return fmt.Errorf("no replica accepts connections: %w", err)
			}
			replica = (replica + 1) % len(c.cluster.replicas)
			time.Sleep(pause) // between polls
			continue
		}
		var got answer
		if err == nil && res.status < 500 {
			if !slices.Contains(statuses[in.kind], res.status) {
				return fmt.Errorf("%v: status %d %s", in, res.status, res.ErrorCode)
			}
			if got, err = read(res); err != nil {
				return fmt.Errorf("%v: %w", in, err)
			}
			c.count(fmt.Sprintf("%s: %d %s", in.kind, got.status, verdictNames[got.verdict]))
		} else {
			got.unknown = true
			c.unknowns.Add(1)
			if err == nil {
				c.count(fmt.Sprintf("unknown: status %d", res.status))
			} else {
				c.count("unknown: no answer")
			}
		}
		if s != nil {
			in.at, in.drift = r.steps(wall, got.unknown, s), s.drift
		}
		c.calls.Add(1)
		op := porcupine.Operation{ClientId: c.number, Input: in, Call: int64(called), Output: got, Return: int64(returned)}
		if got.unknown {
			// It may take effect at any later time.
			op.Return = math.MaxInt64
			if in.kind == validate || in.kind == list {
				return c.recover(replica) // it has no effect
			}
		}
		u.mu.Lock()
		u.history = append(u.history, op)
		u.mu.Unlock()
		if got.unknown {
			return c.recover(replica)
		}
		return nil
	}
}

// waited records how long a client has waited for a success.
func (r *run) waited(d time.Duration) {
	r.waits.Lock()
	defer r.waits.Unlock()
	if d > r.longest {
		r.longest, r.longestAt = d, time.Since(r.began)
	}
}

const (
	// patience is how long a client waits until the server works again.
	patience = 90 * time.Second
	pause    = 10 * time.Millisecond
	// answerTime is how long a client waits for an answer.
	answerTime = 15 * time.Second
)

// recover waits until a write succeeds, so that a fault costs each client one call.
func (c *client) recover(replica int) error {
	began := time.Now()
	deadline := began.Add(patience)
	probe := request{"POST", fmt.Sprintf("/v1/users/probe-%d/actions/probe", c.number), backendKey, `{"idempotencyKey":"k"}`}
	for {
		res, err := c.links[replica].send(c.cluster.replicas[replica], probe)
		if err == nil && res.status == 200 {
			c.waited(time.Since(began))
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a write still fails after %v: status %d, %v", patience, res.status, err)
		}
		replica = (replica + 1) % len(c.cluster.replicas)
		time.Sleep(pause) // between polls
	}
}

// errNotSent reports that no connection was made: the server did not see the
// request.
var errNotSent = errors.New("not sent")

// send sends a request and reads the answer.
func (l *link) send(to *replica, req request) (res response, err error) {
	if l.conn == nil {
		conn, err := to.dial()
		if err != nil {
			return res, fmt.Errorf("%w: %w", errNotSent, err)
		}
		l.conn, l.r = conn, bufio.NewReader(conn)
	}
	defer func() {
		if err != nil {
			to.hangUp(l.conn)
			l.conn = nil
		}
	}()
	if err := l.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return res, err
	}
	_, err = fmt.Fprintf(l.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		req.method, req.path, to.address, req.authorization, len(req.body), req.body)
	if err != nil {
		return res, err
	}
	answer, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return res, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return res, err
	}
	res.status = answer.StatusCode
	if len(body) > 0 && body[0] == '[' {
		return res, json.Unmarshal(body, &res.list)
	}
	return res, json.Unmarshal(body, &res)
}
