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
	poll = time.Second / 2
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
	ClaimEvents(ctx context.Context, now, until time.Time, choose func([]store.Due) []store.Claim) ([]store.Event, error)
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

	// limits are defaultLimits if zero; others in tests.
	limits limits
	// reading and writing limit the transactions on the outbox at once, so that
	// many events do not take the connections of sign-ins. Run makes them.
	reading, writing chan struct{}
}

// Run sends due events until ctx ends. Then it claims no more, waits for the
// requests in flight, for at most DeliverTimeout and settling, and returns.
func (d *Deliverer) Run(ctx context.Context) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	f := d.takeOff()
	var cleaned time.Time
	var settled error // of the outbox, for the events that have ended
	failing := false
	for ctx.Err() == nil {
		n, err := d.claim(ctx, f)
		err = errors.Join(settled, err)
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
		if n > 0 { // there may be more
			select {
			case e := <-f.ended:
				settled = f.end(e)
			default:
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case e := <-f.ended: // another event may be due
			settled = f.end(e)
		}
	}
	for len(f.requests) > 0 {
		f.end(<-f.ended)
	}
}

// takeOff prepares a deliverer to send events.
func (d *Deliverer) takeOff() *flight {
	if d.limits == (limits{}) {
		d.limits = defaultLimits()
	}
	d.reading, d.writing = make(chan struct{}, maxReading), make(chan struct{}, maxWriting)
	return newFlight(d.limits)
}

// claim starts to send due events, as the limits allow, and returns their number.
func (d *Deliverer) claim(ctx context.Context, f *flight) (int, error) {
	now := d.Now()
	events, err := d.Outbox.ClaimEvents(ctx, now, now.Add(lease), func(due []store.Due) []store.Claim { return f.choose(due, time.Now()) })
	// A claimed event is sent even if ctx ends now.
	ctx = context.WithoutCancel(ctx)
	for _, e := range events {
		r := f.begin(e.TenantID)
		go func() {
			r.err = d.deliver(ctx, e, r)
			f.ended <- r
		}()
	}
	return len(events), err
}

func (d *Deliverer) deliver(ctx context.Context, e store.Event, r *request) error {
	// After an error of the outbox the event is due again at the end of the claim.
	d.reading <- struct{}{}
	target, err := d.Target(ctx, e.TenantID)
	<-d.reading
	if err != nil {
		return err
	}
	unsent := errors.New("the tenant has no webhook URL any more")
	if target.URL != "" {
		unsent = r.send(func() error { return d.Sender.Send(ctx, target, e.Body, d.Now()) })
	}
	d.writing <- struct{}{}
	defer func() { <-d.writing }()
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
