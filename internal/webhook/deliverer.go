package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
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
	// batch is how many events are sent at once.
	batch = 16
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
	ClaimEvents(ctx context.Context, now, until time.Time, limit int) ([]store.Event, error)
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
	var cleaned time.Time
	failing := false
	for ctx.Err() == nil {
		full, err := d.pass(ctx)
		if err == nil && !d.Now().Before(cleaned.Add(cleaning)) {
			cleaned = d.Now()
			err = d.Outbox.CleanEvents(ctx, cleaned.Add(-retention))
		}
		// Once, and not every second for as long as the database is away.
		if err != nil && !failing && ctx.Err() == nil {
			d.Log.ErrorContext(ctx, "webhook outbox", "error", err)
		}
		failing = err != nil
		if full && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// pass sends a batch of what is due; full says that there may be more. Its
// error is the outbox's: a receiver's is in the event's fate.
func (d *Deliverer) pass(ctx context.Context) (full bool, err error) {
	now := d.Now()
	events, err := d.Outbox.ClaimEvents(ctx, now, now.Add(lease), batch)
	if err != nil {
		return false, err
	}
	// What is claimed is sent to its end, even if the stop comes now.
	ctx = context.WithoutCancel(ctx)
	errs := make([]error, len(events))
	var wg sync.WaitGroup
	for i, e := range events {
		wg.Go(func() { errs[i] = d.deliver(ctx, e) })
	}
	wg.Wait()
	return len(events) == batch, errors.Join(errs...)
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
