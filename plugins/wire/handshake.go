// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

// Version is the version of the protocol; both sides must have the same.
const Version = 1

// Service is the name of the plugin in the handshake.
const Service = "zfarm"

// The handshake tells a person who starts a plugin by hand what it is. It is
// no access control.
const (
	CookieKey   = "ZFARM_PLUGIN"
	CookieValue = "zfarm.plugin.v1"
)

// MaxMessage is the largest message, in bytes, that either side accepts.
const MaxMessage = 4 << 20

// MaxHeaders bounds the headers of a call, in bytes; errors are sent in
// headers.
const MaxHeaders = 64 << 10
