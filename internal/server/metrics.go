package server

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// metrics are the metrics of the server. Labels have few values: routes, but never
// users.
type metrics struct {
	requests      *prometheus.HistogramVec
	verifications *prometheus.CounterVec
	tracked       *prometheus.CounterVec
	consents      *prometheus.HistogramVec
	limited       prometheus.Counter
	keysRefused   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsignal_request_seconds",
			Help:    "Requests by route, method and status, and how long they took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "method", "status"}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsignal_verifications_total",
			Help: "Codes by result: accepted, CODE_INVALID_OR_EXPIRED or MAX_ATTEMPTS_EXCEEDED.",
		}, []string{"result"}),
		tracked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsignal_tracked_total",
			Help: "Tracked actions by their state.",
		}, []string{"state"}),
		consents: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsignal_webhook_consent_seconds",
			Help:    "Requests to action.verify webhooks by result (consented, refused, or failed without a response), and how long they took.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"result"}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authsignal_requests_limited_total",
			Help: "Requests that were refused because their address was over its limit.",
		}),
		keysRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsignal_keys_refused_total",
			Help: "Wrong API secret keys (realm server) and management keys (realm management).",
		}, []string{"realm"}),
	}
	r.MustRegister(m.requests, m.verifications, m.tracked, m.consents, m.limited, m.keysRefused)
	for _, r := range []realm{serverRealm, managementRealm} {
		m.keysRefused.WithLabelValues(r.String())
	}
	return m
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) consent(result string, took time.Duration) {
	m.consents.WithLabelValues(result).Observe(took.Seconds())
}

func (m *metrics) verified(isVerified bool, reason api.FailureReason) {
	result := string(reason)
	if isVerified {
		result = "accepted"
	}
	m.verifications.WithLabelValues(result).Inc()
}
