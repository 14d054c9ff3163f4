// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

// Version is the number of the protocol that both sides must speak.
const Version = 1

// Service is the name under which the handshake knows the plugin.
const Service = "zfarm"

// The handshake tells a person who starts a plugin by hand what it is. It
// keeps nobody out.
const (
	CookieKey   = "ZFARM_PLUGIN"
	CookieValue = "zfarm.plugin.v1"
)

// MaxMessage is the largest message, in bytes, that either side takes.
const MaxMessage = 4 << 20

// MaxHeaders bounds the headers of a call, in which errors travel.
const MaxHeaders = 64 << 10
