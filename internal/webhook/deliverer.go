package webhook

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// pauses are the times before the retries: three, each of 30 seconds or more (wire
// contract, section 8). They grow, so that a receiver may be down for twelve
// minutes.
var pauses = [...]time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute}

const (
	// poll is the time between queries of the outbox: the delay of an event.
	poll = time.Second
	// inFlight is how many events are sent at once, share how many of one tenant:
	// a receiver that hangs does not delay the events of other tenants.
	inFlight = 32
	share    = 8
	// settling bounds the write of a result.
	settling = 10 * time.Second
	// lease is the length of a claim: much longer than DeliverTimeout and settling
	// together, since the clocks of replicas may differ. If a process dies, its
	// events wait that long.
	lease = time.Minute
	// retention is how long delivered and dead events are kept, and cleaning the
	// time between deletions of older ones.
	retention = 7 * 24 * time.Hour
	cleaning  = time.Hour
)

// An Outbox keeps events until they are delivered or dead; *store.Store does.
type Outbox interface {
	ClaimEvents(ctx context.Context, now, until time.Time, limit, share int, busy map[string]int) ([]store.Event, error)
	EventDelivered(ctx context.Context, e store.Event, at time.Time) error
	EventFailed(ctx context.Context, e store.Event, again time.Time) error
	EventDead(ctx context.Context, e store.Event, at time.Time) error
	CleanEvents(ctx context.Context, before time.Time) error
}

// A Deliverer sends the events of an outbox. Several may share an outbox, in one
// process or in many. All fields but Metrics are required.
type Deliverer struct {
	Outbox Outbox
	Sender *Sender
	// Target returns the receiver of a tenant's events. Events of a tenant without
	// a URL become dead.
	Target func(ctx context.Context, tenantID string) (Target, error)
	Log    *slog.Logger
	Now    func() time.Time
	// Metrics counts the attempts; it may be nil.
	Metrics *Metrics
}

// Run sends due events until ctx ends. Then it claims no more, waits for the
// requests in flight, for at most DeliverTimeout and settling, and returns.
func (d *Deliverer) Run(ctx context.Context) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	f := newFlight()
	var cleaned time.Time
	var settled error // of the outbox, for the events that have ended
	failing := false
	for ctx.Err() == nil {
		err := errors.Join(settled, d.claim(ctx, f))
		if err == nil && !d.Now().Before(cleaned.Add(cleaning)) {
			cleaned = d.Now()
			err = d.Outbox.CleanEvents(ctx, cleaned.Add(-retention))
		}
		// Once, and not every second while the database is unreachable.
		if err != nil && !failing && ctx.Err() == nil {
			d.Log.ErrorContext(ctx, "webhook outbox", "error", err)
		}
		failing = err != nil
		settled = nil
		select {
		case <-ctx.Done():
		case <-tick.C:
		case e := <-f.ended: // another event may be due
			settled = f.end(e)
		}
	}
	for f.total > 0 {
		f.end(<-f.ended)
	}
}

// A flight holds the events that a deliverer is sending.
type flight struct {
	busy  map[string]int // by tenant
	total int
	ended chan ending
}

// An ending reports that an event was settled or could not be; err is the error of
// the outbox, not of the receiver.
type ending struct {
	tenantID string
	err      error
}

func newFlight() *flight {
	return &flight{busy: map[string]int{}, ended: make(chan ending, inFlight)}
}

// end counts an ending and all others that are waiting.
func (f *flight) end(e ending) error {
	var errs []error
	for {
		errs = append(errs, e.err)
		f.total--
		if f.busy[e.tenantID]--; f.busy[e.tenantID] == 0 {
			delete(f.busy, e.tenantID)
		}
		select {
		case e = <-f.ended:
		default:
			return errors.Join(errs...)
		}
	}
}

// claim starts to send as many due events as there is room for.
func (d *Deliverer) claim(ctx context.Context, f *flight) error {
	now := d.Now()
	events, err := d.Outbox.ClaimEvents(ctx, now, now.Add(lease), inFlight-f.total, share, f.busy)
	if err != nil {
		return err
	}
	// A claimed event is sent even if ctx ends now.
	ctx = context.WithoutCancel(ctx)
	for _, e := range events {
		f.busy[e.TenantID]++
		f.total++
		go func() { f.ended <- ending{e.TenantID, d.deliver(ctx, e)} }()
	}
	return nil
}

func (d *Deliverer) deliver(ctx context.Context, e store.Event) error {
	// After an error of the outbox the event is due again at the end of the claim.
	target, err := d.Target(ctx, e.TenantID)
	if err != nil {
		return err
	}
	unsent := errors.New("the tenant has no webhook URL any more")
	if target.URL != "" {
		unsent = d.Sender.Send(ctx, target, e.Body, d.Now())
	}
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	now := d.Now()
	if unsent == nil {
		d.Metrics.count(e.Type, delivered)
		return d.Outbox.EventDelivered(ctx, e, now)
	}
	log := d.Log.With("type", e.Type, "eventId", e.ID, "attempt", e.Failures+1, "error", unsent)
	if target.URL == "" || e.Failures >= len(pauses) {
		log.ErrorContext(ctx, "webhook given up")
		d.Metrics.count(e.Type, dead)
		return d.Outbox.EventDead(ctx, e, now)
	}
	pause := pauses[e.Failures]
	log.WarnContext(ctx, "webhook failed", "retryIn", pause.String())
	d.Metrics.count(e.Type, failed)
	return d.Outbox.EventFailed(ctx, e, now.Add(pause))
}
