// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"bytes"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// member is one member of the package.
type member struct {
	pax.Member
	below string // its path below the prefix
	from  *staged
	text  []byte // the content of a file that the farm makes
	sum   digest.Digest
	named bool
}

// content returns the content of a file; it is empty for anything else.
func (m *member) content(spool io.ReaderAt) io.Reader {
	if m.from == nil || m.Type != pax.Regular {
		return bytes.NewReader(m.text)
	}
	return io.NewSectionReader(spool, m.from.data.offset, m.Size)
}

// members returns the members of the package in order.
func (st *staging) members() ([]member, error) {
	kept := st.selected()
	files := 0
	var out []member
	first := map[*staged]string{} // first name with a content
	for _, below := range sortedKeys(kept) {
		m := st.member(below, kept[below])
		if e := m.from; e != nil && e.data.Type == pax.Regular {
			files++
			if name, ok := first[e.data]; ok {
				m.Type, m.Link, m.Size, m.Records = pax.HardLink, name, 0, nil
			} else {
				first[e.data] = m.Name
			}
		} else if e != nil && e.Type == pax.Symlink {
			files++
		}
		out = append(out, m)
	}
	if files == 0 {
		return nil, refused("nothing is staged below the prefix %s that the recipe packages; check its prefix and its globs", st.s.Prefix)
	}
	for _, name := range []string{metadataName, workName} {
		if _, ok := kept[name]; ok {
			return nil, refused("%s/%s is staged, a name that belongs to the farm; exclude it in the recipe", st.s.Prefix, name)
		}
	}
	out, err := st.withOwn(out, kept)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.below, b.below) })
	return out, nil
}

// selected returns the files to package, by path below the prefix: those that the
// globs select, and the folders above them. A folder that was not staged itself is
// nil.
func (st *staging) selected() map[string]*staged {
	kept := map[string]*staged{"": st.all[st.prefix]}
	for name, e := range st.all {
		below, ok := strings.CutPrefix(name, st.prefix+"/")
		if !ok || len(st.s.Include) > 0 && !matchesAny(st.s.Include, below) || matchesAny(st.s.Exclude, below) {
			continue
		}
		kept[below] = e
		for dir := path.Dir(below); dir != "."; dir = path.Dir(dir) {
			if _, ok := kept[dir]; ok {
				break
			}
			kept[dir] = st.all[st.prefix+"/"+dir]
		}
	}
	return kept
}

func sortedKeys(m map[string]*staged) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// member makes a member of the package. e is nil for a folder that was not staged.
func (st *staging) member(below string, e *staged) member {
	m := member{below: below, from: e}
	m.Name = path.Join(st.s.root(), below)
	m.ModTime = st.s.Epoch
	m.Type, m.Mode = pax.Directory, 0o755
	if e == nil {
		return m
	}
	source := e.data // hard links share all metadata with their content
	m.Type, m.Mode, m.Size = source.Type, source.Mode, source.Size
	m.sum, m.named = source.sum, source.named
	if m.Type == pax.Symlink {
		m.Link = e.Link
	}
	for _, r := range source.Records {
		switch r.Key {
		case pax.ZOSTag, pax.ZOSExtattr:
			m.Records = append(m.Records, r)
		case "atime", "ctime": // replaced like the header's time, so not listed as dropped
		default:
			st.dropped[pax.Clip(r.Key)]++
		}
	}
	return m
}

// outside returns the symbolic links that lead out of the prefix.
func (st *staging) outside(members []member) []Link {
	var out []Link
	for _, m := range members {
		if m.Type != pax.Symlink {
			continue
		}
		target := m.Link
		if !path.IsAbs(target) {
			target = path.Join(st.s.Prefix, path.Dir(m.below), target)
		}
		if target = path.Clean(target); target != st.s.Prefix && !strings.HasPrefix(target, st.s.Prefix+"/") {
			out = append(out, Link{m.below, m.Link})
		}
	}
	return out
}

// withOwn adds the files that the farm makes, unless the port has its own.
func (st *staging) withOwn(out []member, kept map[string]*staged) ([]member, error) {
	own := func(name string, mode uint32, text []byte) {
		m := member{below: name, text: text, sum: digest.Of(text)}
		m.Name, m.Type, m.Mode, m.ModTime, m.Size = path.Join(st.s.root(), name), pax.Regular, mode, st.s.Epoch, int64(len(text))
		if systemName(st.s.System) == "zos" {
			m.Records = []pax.Record{{Key: pax.ZOSTag, Value: "1 819"}}
		}
		out = append(out, m)
	}
	var named []string
	for _, m := range out {
		if m.named && m.Type == pax.Regular {
			named = append(named, m.below)
		}
	}
	if _, ok := kept[envName]; !ok {
		own(envName, 0o644, envScript(st.s))
	}
	if _, ok := kept[setupName]; !ok {
		own(setupName, 0o755, setupScript(st.s, named))
	}
	text, err := innerMetadata(st.s, out)
	if err != nil {
		return nil, err
	}
	own(metadataName, 0o644, text)
	return out, nil
}
