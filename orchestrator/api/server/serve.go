// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Bounds of connections.
const (
	headerLimit     = 10 * time.Second // for the header of a request to arrive
	headerBytes     = 64 << 10
	idleLimit       = 2 * time.Minute
	shutdownLimit   = 10 * time.Second // for running requests when the server ends
	checkFilesEvery = 5 * time.Second  // between two checks of certificate and key for changes
)

// Serve answers on a listener until ctx ends; then streams end, running requests get
// some seconds, and Serve returns nil. It closes the listener.
//
// Without TLS it serves loopback addresses only, unless a proxy in front terminates
// TLS: everybody on the way can read a token sent in the clear.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close() // Shutdown closes it unless an error came first
	if err := s.mayListen(l.Addr()); err != nil {
		return err
	}
	h := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerLimit, MaxHeaderBytes: headerBytes, IdleTimeout: idleLimit,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	if err := s.metrics.farm.read(ctx); err != nil {
		s.Log.WarnContext(ctx, "figures begin later", "error", err.Error())
	}
	ended := make(chan error, 1)
	if s.TLS == nil {
		go func() { ended <- h.Serve(l) }()
	} else {
		files, err := loadFiles(*s.TLS, s.Log)
		if err != nil {
			return err
		}
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.certificate}
		go func() { ended <- h.ServeTLS(l, "", "") }()
	}
	select {
	case err := <-ended:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.Close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if err := h.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("ending requests under way: %w", err), h.Close())
	}
	return nil
}

func (s *Server) mayListen(addr net.Addr) error {
	local := addr.Network() == "unix"
	if tcp, ok := addr.(*net.TCPAddr); ok {
		local = tcp.IP.IsLoopback()
	}
	switch {
	case local:
		return nil
	case s.Embedded != nil:
		return fmt.Errorf("serving on %s: without tokens a farm answers on loopback only; listen on 127.0.0.1, or set up tokens and TLS", addr)
	case s.TLS == nil && !s.Proxied:
		return fmt.Errorf("serving on %s: tokens would pass in the clear; give files of certificate and key, or say that a proxy ends TLS", addr)
	}
	return nil
}

// TLSFiles names PEM files. The server reads them again when they change.
type TLSFiles struct {
	Cert, Key string
}

// files is a certificate that is reloaded when its files change.
type files struct {
	names TLSFiles
	log   *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   [2]time.Time
	cert    *tls.Certificate
}

func loadFiles(names TLSFiles, log *slog.Logger) (*files, error) {
	f := &files{names: names, log: log}
	stamp, err := f.stamps()
	if err != nil {
		return nil, fmt.Errorf("loading certificate: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(names.Cert, names.Key)
	if err != nil {
		return nil, fmt.Errorf("loading certificate %s and key %s: %w", names.Cert, names.Key, err)
	}
	f.cert, f.stamp, f.checked = &cert, stamp, time.Now()
	return f, nil
}

func (f *files) stamps() (stamp [2]time.Time, err error) {
	for i, name := range []string{f.names.Cert, f.names.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

// certificate implements GetCertificate of tls.Config. While a pair does not load (only
// half of it is renewed), it keeps the previous one and tries again.
func (f *files) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < checkFilesEvery {
		return f.cert, nil
	}
	f.checked = time.Now()
	f.reload()
	return f.cert, nil
}

func (f *files) reload() {
	stamp, err := f.stamps()
	if err == nil && stamp == f.stamp {
		return
	}
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.LoadX509KeyPair(f.names.Cert, f.names.Key)
	}
	if err != nil {
		f.log.Error("certificate not renewed; the one before serves on", "cert", f.names.Cert, "error", err.Error())
		return
	}
	f.cert, f.stamp = &cert, stamp
	f.log.Info("certificate renewed", "cert", f.names.Cert)
}
