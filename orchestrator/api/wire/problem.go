// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

// Problem is a farm's answer to a request that it refuses or cannot fulfil (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what happened and what to do.
	Detail string `json:"detail"`
	// Instance identifies the request, for the farm's administrator.
	Instance string  `json:"instance"`
	Faults   []Fault `json:"errors"`
}

// Fault is one of several errors in a request or a recipe.
type Fault struct {
	Message string `json:"message"`
	// Location is a parameter, a place in the body such as "body.name", or a place in a
	// recipe such as "gzip/recipe.hcl:12,3".
	Location string `json:"location"`
}
