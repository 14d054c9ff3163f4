// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// maxError bounds the text of an error in the protocol, in bytes: it is sent
// in a header.
const maxError = 4 << 10

// kind pairs an error that callers distinguish with its name in the protocol.
type kind struct {
	kind Kind
	err  error
}

func kinds() []kind {
	return []kind{
		{Kind_KIND_NOT_EXIST, fs.ErrNotExist},
		{Kind_KIND_INVALID, fs.ErrInvalid},
		{Kind_KIND_PERMISSION, fs.ErrPermission},
		{Kind_KIND_EXIST, fs.ErrExist},
		{Kind_KIND_LOST, workers.ErrLost},
		{Kind_KIND_UNREACHABLE, workers.ErrUnreachable},
		{Kind_KIND_STEP_CHANGED, workers.ErrStepChanged},
		{Kind_KIND_CANCELED, context.Canceled},
		{Kind_KIND_DEADLINE, context.DeadlineExceeded},
	}
}

// Encode returns err as an error with which gRPC sends its kind to the other
// side; [Decode] is the reverse. nil stays nil.
func Encode(err error) error {
	if err == nil {
		return nil
	}
	fault := &Fault{}
	code := codes.Unknown
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			fault.Kinds = append(fault.Kinds, k.kind)
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	if e, ok := plugins.AsStepError(err); ok {
		fault.Step = &StepFault{Step: text(e.Step), Status: fromStatus(e.Status), Hint: plugins.Text(e.Hint, maxError)}
	}
	s, detailErr := status.New(code, plugins.Text(err.Error(), maxError)).WithDetails(fault)
	if detailErr != nil {
		return status.Error(code, plugins.Text(err.Error(), maxError))
	}
	return s.Err()
}

// Decode returns the error that the other side passed to [Encode]: errors.Is
// and errors.As find the same kinds. An error of the transport keeps its
// status. The text comes from the other side and is made safe to show.
func Decode(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := &remoteError{text: plugins.Text(s.Message(), maxError)}
	for _, d := range s.Details() {
		if fault, ok := d.(*Fault); ok {
			e.kinds = append(e.kinds, faultKinds(fault)...)
			return e
		}
	}
	switch s.Code() {
	case codes.Canceled:
		e.kinds = []error{context.Canceled}
	case codes.DeadlineExceeded:
		e.kinds = []error{context.DeadlineExceeded}
	default:
		return err
	}
	return e
}

// faultKinds returns the errors in a fault. It leaves out a step that cannot
// exist.
func faultKinds(fault *Fault) []error {
	var errs []error
	for _, k := range kinds() {
		for _, have := range fault.GetKinds() {
			if have == k.kind {
				errs = append(errs, k.err)
				break
			}
		}
	}
	if f := fault.GetStep(); f != nil && workers.ValidID(f.GetStep()) {
		if st, err := toStatus(f.GetStatus()); err == nil {
			errs = append(errs, &plugins.StepError{Step: f.GetStep(), Status: st, Hint: plugins.Text(f.GetHint(), maxError)})
		}
	}
	return errs
}

// remoteError is an error from the other side.
type remoteError struct {
	text  string
	kinds []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.kinds }

// decodeCall is Decode for a caller whose context may have ended: then it
// returns the error of that context.
func decodeCall(ctx context.Context, what, name string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", what, name, context.Cause(ctx))
	}
	return Decode(err)
}
