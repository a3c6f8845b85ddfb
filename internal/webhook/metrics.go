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

// counting bounds the count of the outbox for one scrape.
const counting = 2 * time.Second

// Metrics count what becomes of events. A nil *Metrics counts nothing.
type Metrics struct {
	deliveries *prometheus.CounterVec
}

// NewMetrics registers the counters of this process, and gauges of the whole
// outbox, which all its replicas share: count is asked at each scrape. When it
// fails the gauges are missing, and the rest is there.
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
	waiting, given, err := c(ctx)
	if err != nil {
		return // /readyz says that the database is away
	}
	ch <- prometheus.MustNewConstMetric(outboxEvents, prometheus.GaugeValue, float64(waiting), "pending")
	ch <- prometheus.MustNewConstMetric(outboxEvents, prometheus.GaugeValue, float64(given), string(dead))
}
