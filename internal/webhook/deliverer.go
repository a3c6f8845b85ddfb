package webhook

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// pauses are the times before the retries: three of them, and none under 30
// seconds (wire contract, section 8). They grow, so that a receiver may be away
// for twelve minutes.
var pauses = [...]time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute}

const (
	// poll is the time between looks at the outbox: how late an event may be.
	poll = time.Second
	// inFlight is how many events are sent at once, share how many of one
	// tenant: a receiver that hangs holds up no other tenant's.
	inFlight = 32
	share    = 8
	// settling bounds the writing of an event's fate.
	settling = 10 * time.Second
	// lease is how long a claim lasts, for DeliverTimeout and settling with
	// much to spare: for clocks of replicas that differ. A process that dies
	// keeps its events from the others for that long.
	lease = time.Minute
	// retention is how long events are kept that are delivered or dead, and
	// cleaning the time between looks for older ones.
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

// A Deliverer sends the events of an outbox. Several may share it, in one
// process or in many. Every field is required but Metrics.
type Deliverer struct {
	Outbox Outbox
	Sender *Sender
	// Target says where a tenant's events go. Those of a tenant without a URL
	// are dead.
	Target func(ctx context.Context, tenantID string) (Target, error)
	Log    *slog.Logger
	Now    func() time.Time
	// Metrics counts the attempts; it may be nil.
	Metrics *Metrics
}

// Run sends what is due until ctx ends. Then it claims no more, lets what is
// on its way arrive, for at most DeliverTimeout and as long again to write it
// down, and returns.
func (d *Deliverer) Run(ctx context.Context) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	f := newFlight()
	var cleaned time.Time
	var landed error // what those that arrived met at the outbox
	failing := false
	for ctx.Err() == nil {
		err := errors.Join(landed, d.claim(ctx, f))
		if err == nil && !d.Now().Before(cleaned.Add(cleaning)) {
			cleaned = d.Now()
			err = d.Outbox.CleanEvents(ctx, cleaned.Add(-retention))
		}
		// Once, and not every second for as long as the database is away.
		if err != nil && !failing && ctx.Err() == nil {
			d.Log.ErrorContext(ctx, "webhook outbox", "error", err)
		}
		failing = err != nil
		landed = nil
		select {
		case <-ctx.Done():
		case <-tick.C:
		case e := <-f.ended: // there is room for another, which may be due already
			landed = f.land(e)
		}
	}
	for f.total > 0 {
		f.land(<-f.ended)
	}
}

// A flight is what a deliverer has on its way.
type flight struct {
	busy  map[string]int // by tenant
	total int
	ended chan ending
}

// An ending is that of one event's way; err is the outbox's: a receiver's is in
// the event's fate.
type ending struct {
	tenantID string
	err      error
}

func newFlight() *flight {
	return &flight{busy: map[string]int{}, ended: make(chan ending, inFlight)}
}

// land takes an ending, and what has ended besides.
func (f *flight) land(e ending) error {
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

// claim sends off as much of what is due as there is room for.
func (d *Deliverer) claim(ctx context.Context, f *flight) error {
	now := d.Now()
	events, err := d.Outbox.ClaimEvents(ctx, now, now.Add(lease), inFlight-f.total, share, f.busy)
	if err != nil {
		return err
	}
	// What is claimed is sent to its end, even if the stop comes now.
	ctx = context.WithoutCancel(ctx)
	for _, e := range events {
		f.busy[e.TenantID]++
		f.total++
		go func() { f.ended <- ending{e.TenantID, d.deliver(ctx, e)} }()
	}
	return nil
}

func (d *Deliverer) deliver(ctx context.Context, e store.Event) error {
	// Until an error of the outbox is mended the claim keeps the event; then
	// it is due again.
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
