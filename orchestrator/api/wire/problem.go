// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

// Problem is what a farm answers when it does not do what was asked (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what happened and what to do.
	Detail string `json:"detail"`
	// Instance names the request, for the farm's admin.
	Instance string  `json:"instance"`
	Faults   []Fault `json:"errors"`
}

// Fault is one of several things that are wrong with a request or a recipe.
type Fault struct {
	Message string `json:"message"`
	// Location is a parameter or a place in the body as "body.name", or a
	// place in a recipe as "gzip/recipe.hcl:12,3".
	Location string `json:"location"`
}
