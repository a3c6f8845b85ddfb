package webhook

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A result is that of an attempt to deliver an event.
type result string

const (
	delivered result = "delivered"
	failed    result = "failed" // it will be sent again
	dead      result = "dead"   // it will not
)

// counting bounds the query of the outbox at a scrape.
const counting = 2 * time.Second

// Metrics count the deliveries of events. A nil *Metrics counts nothing.
type Metrics struct {
	deliveries *prometheus.CounterVec
}

// NewMetrics registers the counters of this process, and gauges of the outbox that
// all replicas share: count is called at each scrape. If it fails, only the gauges
// are missing.
func NewMetrics(r prometheus.Registerer, count func(context.Context) (pending, dead int64, err error)) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authsignal_webhook_deliveries_total",
		Help: "Attempts to deliver an event of the outbox, by type and result: delivered, failed (to be sent again) or dead.",
	}, []string{"type", "result"})}
	r.MustRegister(m.deliveries, outboxCollector(count))
	return m
}

func (m *Metrics) count(eventType string, r result) {
	if m != nil {
		m.deliveries.WithLabelValues(eventType, string(r)).Inc()
	}
}

// An outboxCollector counts the events of the outbox.
type outboxCollector func(context.Context) (pending, dead int64, err error)

var outboxEvents = prometheus.NewDesc("authsignal_webhook_outbox_events",
	"Events in the outbox of all replicas: those that wait, and the dead ones of the last seven days.", []string{"state"}, nil)

func (c outboxCollector) Describe(ch chan<- *prometheus.Desc) { ch <- outboxEvents }

func (c outboxCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), counting)
	defer cancel()
	pending, deadEvents, err := c(ctx)
	if err != nil {
		return // /readyz reports that the database is unreachable
	}
	ch <- prometheus.MustNewConstMetric(outboxEvents, prometheus.GaugeValue, float64(pending), "pending")
	ch <- prometheus.MustNewConstMetric(outboxEvents, prometheus.GaugeValue, float64(deadEvents), string(dead))
}
