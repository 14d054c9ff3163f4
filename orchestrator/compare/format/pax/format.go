// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format: the fields of members' headers, and
// those that belong to no member.
func Format() format.Format {
	return format.Format{Name: "pax archive", Is: Is, Archive: true, Fields: []format.Field{
		{Name: "mode", Text: "permissions of a file", Gravity: format.Authority},
		{Name: "zos.extattr", Text: "z/OS attributes: APF, program control, shared library, address space", Gravity: format.Authority},
		{Name: "zos.taginfo", Text: "file tag: in which code page it is read", Gravity: format.Presence},
		{Name: "zos.", Gravity: format.Ordinary},
		{Name: "record.", Gravity: format.Ordinary},
		{Name: "global records", Gravity: format.Ordinary},
		{Name: "name", Gravity: format.Presence},
		{Name: "type", Text: "kind of file", Gravity: format.Presence},
		{Name: "link", Text: "where a link leads", Gravity: format.Presence},
		{Name: "device", Gravity: format.Presence},
		{Name: "uid", Gravity: format.Ordinary},
		{Name: "gid", Gravity: format.Ordinary},
		{Name: "uname", Gravity: format.Ordinary},
		{Name: "gname", Gravity: format.Ordinary},
		{Name: "atime", Gravity: format.Ordinary},
		{Name: "ctime", Gravity: format.Ordinary},
		{Name: "mtime", Text: "when a file was last changed", Gravity: format.Ordinary},
		{Name: "padding", Text: "bytes that readers ignore", Gravity: format.Presence},
		{Name: "trailing data", Text: "bytes after the end", Gravity: format.Presence},
	}}
}
