package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A server is a running server.
type server struct {
	ctx     context.Context
	cmd     *exec.Cmd
	address string // host:port
	// postmaster is the process id of PostgreSQL; 0 on SQLite.
	postmaster int
}

func (b *bench) start(v version, database string) (*server, error) {
	cmd := exec.CommandContext(b.ctx, v.binary, "-addr", "127.0.0.1:0", "-db", database, "-dev", "-rate-limit", "0")
	cmd.Env = append(os.Environ(), "AUTHSIGNAL_TENANT_ID="+tenant, "AUTHSIGNAL_API_SECRET_KEY="+apiSecret,
		"AUTHSIGNAL_ENCRYPTION_KEY="+base64.StdEncoding.EncodeToString(encryptionKey), "AUTHSIGNAL_MANAGEMENT_KEY="+managementKey)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server did not start: %w", errors.Join(err, cmd.Wait()))
	}
	base, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		return nil, err
	}
	return &server{ctx: b.ctx, cmd: cmd, address: base.Host, postmaster: b.postmaster}, nil
}

func (s *server) stop() {
	s.cmd.Process.Signal(os.Interrupt)
	s.cmd.Wait()
}

// memory returns the resident memory of the server in bytes.
func (s *server) memory() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kB << 10
		}
	}
	return 0
}

// measure measures requests over conns connections.
func (s *server) measure(conns int, length time.Duration, count int64, do func(c *client, k int64) error) (result, error) {
	clients := make(chan *client, conns)
	for range conns {
		c, err := dial(s.address)
		if err != nil {
			return result{}, err
		}
		defer c.conn.Close()
		clients <- c
	}
	before, databaseBefore := cpu(s.cmd.Process.Pid), childrenCPU(s.postmaster)
	m := measureEach(s.ctx, conns, length, count, func() func(int64) error {
		c := <-clients
		return func(k int64) error { return do(c, k) }
	})
	m.memory = s.memory()
	if m.count > 0 {
		m.cpu = (cpu(s.cmd.Process.Pid) - before) / time.Duration(m.count)
		m.databaseCPU = (childrenCPU(s.postmaster) - databaseBefore) / time.Duration(m.count)
	}
	return m.result, m.err
}

// tracks measures tracks of actions, of users from first on.
func (s *server) tracks(first, users, conns int, length time.Duration) (result, error) {
	return s.measure(conns, length, math.MaxInt64, func(c *client, k int64) error {
		_, err := c.do(s.trackRequest(first + int(k)%users))
		return err
	})
}

func (s *server) trackRequest(user int) []byte {
	return request(s.address, "/v1/users/"+userID(user)+"/actions/signIn", basic(apiSecret), "{}")
}

// verifications tracks an action of each user, and then measures one verification
// of each, with the code of the step at that time.
func (s *server) verifications(users []int, step func() int64, conns int, length time.Duration) (result, error) {
	authorizations := make([]string, len(users))
	_, err := s.measure(8, time.Hour, int64(len(users)), func(c *client, k int64) error {
		answer, err := c.do(s.trackRequest(users[k]))
		authorizations[k] = "Bearer " + text(answer, "token")
		return err
	})
	if err != nil {
		return result{}, err
	}
	var codes codes
	return s.measure(conns, length, int64(len(users)), func(c *client, k int64) error {
		code, err := codes.of(step())
		if err != nil {
			return err
		}
		_, err = s.verify(c, authorizations[k], code)
		return err
	})
}

// verify sends a right code, and returns the token of the answer.
func (s *server) verify(c *client, authorization, code string) (token string, err error) {
	answer, err := c.do(request(s.address, "/v1"+api.PathClientVerifyTOTP, authorization, `{"verificationCode":"`+code+`"}`))
	if err != nil {
		return "", err
	}
	if !bytes.Contains(answer, []byte(`"isVerified":true`)) {
		return "", fmt.Errorf("a code was refused: %s", answer)
	}
	return text(answer, "accessToken"), nil
}

// stepUps measures whole step-ups of users: a track, a verification and the
// validation of its token.
func (s *server) stepUps(users []int, conns int, length time.Duration) (result, error) {
	var codes codes
	return s.measure(conns, length, int64(len(users)), func(c *client, k int64) error {
		answer, err := c.do(s.trackRequest(users[k]))
		if err != nil {
			return err
		}
		code, err := codes.of(currentStep())
		if err != nil {
			return err
		}
		token, err := s.verify(c, "Bearer "+text(answer, "token"), code)
		if err != nil {
			return err
		}
		answer, err = c.do(request(s.address, "/v1/validate", basic(apiSecret), `{"token":"`+token+`"}`))
		if err != nil {
			return err
		}
		if !bytes.Contains(answer, []byte(`"isValid":true`)) {
			return fmt.Errorf("a token is not valid: %s", answer)
		}
		return nil
	})
}

// codes computes each code once: all users have the same secret.
type codes struct{ last atomic.Pointer[stepCode] }

func (c *codes) of(step int64) (string, error) {
	last := c.last.Load()
	if last == nil || last.step != step {
		text, err := totp.Code(userSecret, step, totp.DefaultParameters)
		if err != nil {
			return "", err
		}
		last = &stepCode{step, text}
		c.last.Store(last)
	}
	return last.code, nil
}

// A stepCode is the code of a step.
type stepCode struct {
	step int64
	code string
}

func currentStep() int64 { return totp.DefaultParameters.Step(time.Now()) }
