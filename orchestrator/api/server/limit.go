// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const maxLimiters = 20_000

// limiters bounds the rate of each key.
type limiters struct {
	rate Rate
	now  func() time.Time
	mu   sync.Mutex
	all  map[string]*rate.Limiter
}

func newLimiters(r Rate, now func() time.Time) *limiters {
	return &limiters{rate: r, now: now, all: map[string]*rate.Limiter{}}
}

// allow returns 0 if a request of key may go on, else how long it should wait.
func (l *limiters) allow(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	limiter, ok := l.all[key]
	if !ok {
		l.forget(now)
		limiter = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.all[key] = limiter
	}
	r := limiter.ReserveN(now, 1)
	if !r.OK() {
		return time.Minute
	}
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// forget frees memory: it drops the idle keys, and if none is idle, all of them, which
// only cancels their waits.
func (l *limiters) forget(now time.Time) {
	if len(l.all) < maxLimiters {
		return
	}
	for key, limiter := range l.all {
		if limiter.TokensAt(now) >= float64(l.rate.Burst) {
			delete(l.all, key)
		}
	}
	if len(l.all) >= maxLimiters {
		clear(l.all)
	}
}

// counts bounds how many things each key uses at once.
type counts struct {
	most int
	mu   sync.Mutex
	have map[string]int
}

func newCounts(most int) *counts { return &counts{most: most, have: map[string]int{}} }

// take counts one more, unless the bound is reached.
func (c *counts) take(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have[key] >= c.most {
		return false
	}
	c.have[key]++
	return true
}

func (c *counts) give(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have[key]--; c.have[key] <= 0 {
		delete(c.have, key)
	}
}

// addressKey returns the key that a remote address is limited under: the address of one
// machine, or with IPv6, where a machine has as many addresses as it likes, the network
// of one customer.
func addressKey(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}
