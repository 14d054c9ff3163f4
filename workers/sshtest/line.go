// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Line forwards TCP connections to a server and can fail as a network does.
type Line struct {
	listener net.Listener
	to       string
	all      sync.WaitGroup

	mu     sync.Mutex
	closed bool
	refuse bool
	conns  map[net.Conn]bool
	thawed chan struct{} // open while the line is frozen
	delay  time.Duration
	limit  int64 // bytes from the server until the next cut; negative for none
	passed int64
}

func newLine(t testing.TB, to string) *Line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{listener: listener, to: to, conns: map[net.Conn]bool{}, thawed: make(chan struct{}), limit: -1}
	close(l.thawed)
	l.all.Add(1)
	go l.accept()
	t.Cleanup(l.close)
	return l
}

// Address returns the client's end of the line.
func (l *Line) Address() string { return l.listener.Addr().String() }

// Cut closes every connection. New ones may be made.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}

// Refuse makes new connections end as soon as they are made, or stops that.
func (l *Line) Refuse(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = yes
}

// Freeze stops every byte in both directions and closes nothing, like a firewall that
// forgets a connection: both ends believe that it exists.
func (l *Line) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.thawed:
		l.thawed = make(chan struct{})
	default:
	}
}

// Thaw lets the bytes go on.
func (l *Line) Thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.thawed:
	default:
		close(l.thawed)
	}
}

// Delay makes every byte take that long in each direction, without reducing the
// bandwidth.
func (l *Line) Delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// CutAfter cuts the line once, after the server has sent n more bytes.
func (l *Line) CutAfter(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = n
}

// Passed returns the number of bytes that the server has sent so far.
func (l *Line) Passed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed
}

func (l *Line) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.listener.Close()
	l.Cut()
	l.Thaw()
	l.all.Wait()
}

func (l *Line) accept() {
	defer l.all.Done()
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.to)
		if err != nil || !l.hold(client, server) {
			client.Close()
			if err == nil {
				server.Close()
			}
			continue
		}
		var both sync.WaitGroup
		both.Go(func() { l.pump(server, client, false) })
		both.Go(func() { l.pump(client, server, true) })
		l.all.Go(func() {
			both.Wait()
			l.drop(client, server)
		})
	}
}

func (l *Line) hold(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse || l.closed {
		return false
	}
	for _, c := range conns {
		l.conns[c] = true
	}
	return true
}

func (l *Line) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(l.conns, c)
	}
}

// late is a block of bytes and the time when it is due.
type late struct {
	b   []byte
	due time.Time
}

// pump copies bytes from one end to the other until either closes, and then closes
// both.
func (l *Line) pump(to, from net.Conn, fromServer bool) {
	queue := make(chan late, 1024)
	var sending sync.WaitGroup
	sending.Go(func() {
		for chunk := range queue {
			if d := time.Until(chunk.due); d > 0 {
				<-time.After(d)
			}
			if _, err := to.Write(chunk.b); err != nil {
				to.Close()
				from.Close()
			}
		}
		to.Close()
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			whole, due := l.pass(n, fromServer)
			queue <- late{append([]byte(nil), buffer[:whole]...), due}
			if whole < n {
				err = errors.New("cut")
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				to.Close()
			}
			break
		}
	}
	from.Close()
	close(queue)
	sending.Wait()
}

// pass waits while the line is frozen and returns how many of n bytes get through and
// when.
func (l *Line) pass(n int, fromServer bool) (int, time.Time) {
	for {
		l.mu.Lock()
		thawed := l.thawed
		select {
		case <-thawed:
		default:
			l.mu.Unlock()
			<-thawed
			continue
		}
		defer l.mu.Unlock()
		if fromServer {
			if l.limit >= 0 && int64(n) > l.limit {
				n, l.limit = int(l.limit), -1
			} else if l.limit >= 0 {
				l.limit -= int64(n)
			}
			l.passed += int64(n)
		}
		var due time.Time
		if l.delay > 0 {
			due = time.Now().Add(l.delay)
		}
		return n, due
	}
}
