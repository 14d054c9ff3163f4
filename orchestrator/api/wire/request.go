// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// NewRequest makes the request of an operation on the farm at base. in is a pointer to
// the operation's input. Its tags, which the server reads too, say where in the request
// each field goes.
func NewRequest(ctx context.Context, base *url.URL, o Operation, in any) (*http.Request, error) {
	e := &encoder{path: o.Path, raw: o.Path, query: url.Values{}, header: http.Header{}}
	if err := e.fields(reflect.ValueOf(in).Elem()); err != nil {
		return nil, err
	}
	u := *base
	u.Path, u.RawPath = base.Path+e.path, base.EscapedPath()+e.raw
	u.RawQuery = e.query.Encode()
	r, err := http.NewRequestWithContext(ctx, o.Method, u.String(), e.body)
	if err != nil {
		return nil, err
	}
	r.Header = e.header
	return r, nil
}

// encoder distributes the fields of an input over a request.
type encoder struct {
	path, raw string
	query     url.Values
	header    http.Header
	body      io.Reader
}

func (e *encoder) fields(v reflect.Value) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case !f.IsExported():
			continue
		case f.Anonymous:
			if err := e.fields(v.Field(i)); err != nil {
				return err
			}
			continue
		case f.Name == "Body":
			b, err := json.Marshal(v.Field(i).Interface())
			if err != nil {
				return fmt.Errorf("writing the request: %w", err)
			}
			e.body = bytes.NewReader(b)
			e.header.Set("Content-Type", "application/json")
			continue
		}
		if err := e.parameter(f, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// parameter writes a field; it leaves out zero fields, as no field has another default.
func (e *encoder) parameter(f reflect.StructField, v reflect.Value) error {
	text, err := parameterText(v)
	if err != nil {
		return err
	}
	if name := f.Tag.Get("path"); name != "" {
		if text == "" || text == "." || text == ".." {
			return fmt.Errorf("%q cannot be the %s of anything", text, name)
		}
		e.path = strings.Replace(e.path, "{"+name+"}", text, 1)
		e.raw = strings.Replace(e.raw, "{"+name+"}", url.PathEscape(text), 1)
		return nil
	}
	if v.IsZero() {
		return nil
	}
	if name := f.Tag.Get("query"); name != "" {
		e.query.Set(name, text)
	}
	if name := f.Tag.Get("header"); name != "" {
		e.header.Set(name, text)
	}
	return nil
}

func parameterText(v reflect.Value) (string, error) {
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := t.MarshalText()
		return string(b), err
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	}
	return "", fmt.Errorf("a parameter cannot be a %s", v.Type())
}
