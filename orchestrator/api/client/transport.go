// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// Transport lets a client reach a handler in this process, without a network. Answers
// arrive as they are written, as over one.
func Transport(h http.Handler) http.RoundTripper { return &handlerTransport{h} }

type handlerTransport struct{ handler http.Handler }

// RoundTrip calls the handler. It returns once there is a header.
func (t *handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI = in.URL.RequestURI()
	in.URL = &url.URL{Path: in.URL.Path, RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery}
	in.RemoteAddr = "in-process"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	body, pipe := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: pipe, begun: make(chan struct{}),
		response: &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Request: r}}
	w.response.Body = &pipeBody{PipeReader: body, cancel: cancel}
	go t.serve(w, in)
	select {
	case <-w.begun:
		return w.response, nil
	case <-ctx.Done():
		cancel()
		body.CloseWithError(ctx.Err())
		return nil, ctx.Err()
	}
}

func (t *handlerTransport) serve(w *pipeWriter, r *http.Request) {
	defer func() {
		end := io.EOF
		if recover() != nil { // as a server does: the answer is cut
			end = io.ErrUnexpectedEOF
		}
		r.Body.Close() // the sender sees its own errors
		w.WriteHeader(http.StatusOK)
		w.pipe.CloseWithError(end)
	}()
	t.handler.ServeHTTP(w, r)
}

// pipeWriter passes the handler's answer to the client.
type pipeWriter struct {
	header   http.Header
	pipe     *io.PipeWriter
	once     sync.Once
	begun    chan struct{}
	response *http.Response
}

// Header returns the header.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader lets RoundTrip return.
func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.response.StatusCode, w.response.Status = status, http.StatusText(status)
		w.response.Header = w.header.Clone()
		close(w.begun)
	})
}

// Write waits until the client has read it.
func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.response.Request.Method == http.MethodHead {
		return len(p), nil
	}
	return w.pipe.Write(p)
}

// Flush only sends the header: writes are not buffered.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// pipeBody ends the handler when the client closes it.
type pipeBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close drops the rest of the answer.
func (b *pipeBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
