// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// metrics are the metrics for Prometheus, in their own registry.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	logBytes prometheus.Counter
	farm     *farmFigures
}

func newMetrics(s Store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "zfarm_http_requests_total", Help: "Requests by operation and status."}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "zfarm_http_request_duration_seconds",
			Help: "How long requests took, but for streams.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"operation"}),
		farm:     newFarmFigures(s),
		logBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "zfarm_log_sent_bytes_total", Help: "Bytes of logs sent to watchers."}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.logBytes, m.farm,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// answered counts a request. The operation labels come from the table, so that callers
// cannot create new series.
func (m *metrics) answered(x *exchange, code int, took time.Duration) {
	operation := x.operation
	if operation == "" {
		operation = "none"
	}
	m.requests.WithLabelValues(operation, strconv.Itoa(code)).Inc()
	if !x.stream {
		m.duration.WithLabelValues(operation).Observe(took.Seconds())
	}
}

func (s *Server) serveMetrics(context.Context, *wire.NothingInput) (*huma.StreamResponse, error) {
	h := promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4})
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		h.ServeHTTP(w, r)
	}}, nil
}

// farmFigures are read from the store at each collection.
type farmFigures struct {
	store Store

	builds, ready, free, held, available, quarantined, assigned, transitions, up *prometheus.Desc

	mu    sync.Mutex
	begun bool
	last  int64 // the last event counted
	// Counted since this process started.
	assignments map[string]float64
	changes     map[orchestrator.StageState]float64
}

// Bounds of one collection.
const (
	collectLimit  = 10 * time.Second
	collectEvents = 1000
	collectPages  = 50
)

func newFarmFigures(s Store) *farmFigures {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("zfarm_"+name, help, labels, nil)
	}
	return &farmFigures{
		store:       s,
		builds:      desc("builds", "Builds by state.", "state"),
		ready:       desc("ready_stages", "Repeats that wait for a slot."),
		free:        desc("slots_free", "Slots of a worker that nobody holds.", "worker"),
		held:        desc("slots_held", "Slots of a worker that attempts hold.", "worker"),
		available:   desc("worker_available", "1 for a worker that takes new attempts: it is registered, not drained and not quarantined.", "worker"),
		quarantined: desc("worker_quarantined", "1 for a worker that is quarantined, with the code of the reason.", "worker", "code"),
		assigned:    desc("assignments_total", "Attempts that got a slot, since this process counts.", "worker"),
		transitions: desc("stage_transitions_total", "Stages that came into a state, since this process counts.", "to"),
		up:          desc("store_up", "1 if the store answered all questions."),
		assignments: map[string]float64{}, changes: map[orchestrator.StageState]float64{},
	}
}

// Describe implements prometheus.Collector.
func (f *farmFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{f.builds, f.ready, f.free, f.held, f.available, f.quarantined, f.assigned, f.transitions, f.up} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It leaves out what cannot be read.
func (f *farmFigures) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectLimit)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	up := 1.0
	if t, err := f.store.Tally(ctx); err != nil {
		up = 0
	} else {
		for state, n := range t.Builds {
			gauge(f.builds, float64(n), string(state))
		}
		gauge(f.ready, float64(t.Ready))
	}
	if all, err := f.store.Workers(ctx); err != nil {
		up = 0
	} else {
		for _, w := range all {
			gauge(f.free, float64(max(0, w.Slots-len(w.Held))), w.Name)
			gauge(f.held, float64(len(w.Held)), w.Name)
			available := 0.0
			if w.Registered && !w.Draining && w.Quarantine == nil {
				available = 1
			}
			gauge(f.available, available, w.Name)
			if w.Quarantine != nil {
				gauge(f.quarantined, 1, w.Name, string(w.Quarantine.Code))
			}
		}
	}
	if err := f.count(ctx, ch); err != nil {
		up = 0
	}
	gauge(f.up, up)
}

// count continues after the last event counted.
func (f *farmFigures) count(ctx context.Context, ch chan<- prometheus.Metric) error {
	err := f.read(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	counter := func(d *prometheus.Desc, v float64, label string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, label)
	}
	for worker, n := range f.assignments {
		counter(f.assigned, n, worker)
	}
	for state, n := range f.changes {
		counter(f.transitions, n, string(state))
	}
	return err
}

// read counts the events since the last call; the first call only finds where to begin.
func (f *farmFigures) read(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun {
		last, err := newest(ctx, f.store)
		if err != nil {
			return err
		}
		f.last, f.begun = last, true
	}
	for range collectPages {
		all, err := f.store.Events(ctx, f.last, "", collectEvents)
		if err != nil {
			return err
		}
		for _, e := range all {
			f.last = e.Seq
			f.changes[e.To]++
			if e.To == orchestrator.Running && e.Worker != "" {
				f.assignments[e.Worker]++
			}
		}
		if len(all) < collectEvents {
			break
		}
	}
	return nil
}

// newest finds the number of the newest event by bisection: the numbers have no gaps at
// their end, so it need not read history.
func newest(ctx context.Context, h History) (int64, error) {
	beyond := func(n int64) (bool, error) {
		some, err := h.Events(ctx, n, "", 1)
		return len(some) > 0, err
	}
	low, high := int64(0), int64(1)
	for {
		more, err := beyond(high)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		low, high = high, high*2
	}
	for low < high {
		mid := low + (high-low)/2
		more, err := beyond(mid)
		if err != nil {
			return 0, err
		}
		if more {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}
