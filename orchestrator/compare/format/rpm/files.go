// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

// files is the metadata of files in the header.
type files struct {
	names []string
	tags  []*tag // tags that have a value for each file
	// digests are the header's digests of the files' content, nil if it has none;
	// correct marks those whose digests are right.
	digests []string
	correct []bool
}

const (
	fileSize   = 192 // upper bound on the memory of a file without its name and fields
	folderSize = 64  // upper bound on the memory of a folder without its name
)

// files reads the tags about files. If names and folders are inconsistent, the tags
// become ordinary fields of the package.
func (p *pack) files(h *header) (*files, error) {
	x := &files{}
	names, used := h.find(tagBaseNames, kindStrings), []*tag(nil)
	if names == nil {
		if names = h.find(tagOldFileNames, kindStrings); names == nil {
			return x, nil
		}
		used = append(used, names)
	}
	if err := p.budget.Members(h.at, uint64(names.count)); err != nil {
		return nil, err
	}
	if err := p.budget.Names(h.at, int64(names.count)*fileSize); err != nil {
		return nil, err
	}
	var err error
	if x.names, err = p.strings(h, names); err != nil {
		return nil, err
	}
	if names.id == tagBaseNames {
		if used, err = p.inFolders(h, x.names, names); err != nil {
			return nil, err
		}
		if used == nil {
			x.names = nil
			return x, nil
		}
	}
	for _, t := range used {
		t.reported = true
	}
	for _, id := range perFile() {
		for i := range h.tags {
			if t := &h.tags[i]; t.id == id && t.count == len(x.names) && t.kind != kindNull && t.kind != kindBinary && !t.reported {
				t.reported = true
				x.tags = append(x.tags, t)
				break
			}
		}
	}
	x.correct = make([]bool, len(x.names))
	if t := h.find(tagFileDigests, kindStrings); t != nil && t.count == len(x.names) {
		x.digests, err = p.strings(h, t)
	}
	return x, err
}

// inFolders prepends the folders to the names. It returns the tags that the full
// names replace: none if they are inconsistent, and without the folders if these
// are not listed as the files need them.
func (p *pack) inFolders(h *header, names []string, base *tag) ([]*tag, error) {
	places, folders := h.find(tagDirIndexes, kindInt32), h.find(tagDirNames, kindStrings)
	if places == nil || folders == nil || places.count != len(names) {
		return nil, nil
	}
	if err := p.budget.Names(h.at, int64(folders.count)*folderSize); err != nil {
		return nil, err
	}
	dirs, err := p.strings(h, folders)
	if err != nil {
		return nil, err
	}
	next, known := uint64(0), map[string]bool{}
	for _, d := range dirs {
		known[d] = true
	}
	orderly := len(known) == len(dirs)
	for i := range names {
		at := big(h.store[places.from+4*i : places.from+4*i+4])
		if at >= uint64(len(dirs)) {
			return nil, nil
		}
		if at > next {
			orderly = false
		}
		next = max(next, at+1)
		if err := p.budget.Names(h.at, int64(len(dirs[at]))); err != nil {
			return nil, err
		}
		names[i] = dirs[at] + names[i]
	}
	if !orderly || next != uint64(len(dirs)) {
		return []*tag{base}, nil
	}
	return []*tag{base, places, folders}, nil
}

// entries makes an entry of each file from its tags, without zeros and empty texts.
// Names lose their leading slash; names without one (of source packages) get a
// field that says so.
func (p *pack) entries(h *header, x *files) error {
	table := tagTable{general, tagNames()}
	values, says := make([][]string, len(x.tags)), make([]meaning, len(x.tags))
	for i, t := range x.tags {
		says[i] = table.meaning(t.id)
		if t.kind.width() == 0 {
			var err error
			if values[i], err = p.strings(h, t); err != nil {
				return err
			}
		}
	}
	links, err := p.links(h, x)
	if err != nil {
		return err
	}
	last := make([]container.Field, len(x.tags))
	for n, name := range x.names {
		fields := make([]container.Field, 0, len(x.tags)/2)
		for i, t := range x.tags {
			if t.id == tagFileDigests && x.correct[n] {
				continue
			}
			value := ""
			if values[i] != nil {
				if value = values[i][n]; value != "" {
					value = quoted([]byte(value))
				}
			} else if number := big(h.store[t.from+n*t.kind.width() : t.from+(n+1)*t.kind.width()]); number != 0 {
				value = says[i].number(number)
			}
			if value == "" {
				continue
			}
			// Neighbouring files mostly have equal values, and then share the text.
			if last[i].Value != value {
				last[i] = container.Field{Name: general + says[i].name, Value: value, Weight: says[i].weight}
			}
			fields = append(fields, last[i])
		}
		if other, ok := links[n]; ok {
			fields = append(fields, container.Field{Name: "rpm.links", Value: "the same file as " + quoted([]byte(x.names[other])), Weight: container.Meaning})
		}
		within, rooted := strings.CutPrefix(name, "/") // so that a path to it has no two slashes
		if !rooted {
			fields = append(fields, container.Field{Name: "rpm.relative", Value: quoted([]byte(name)), Weight: container.Meaning})
		}
		if err := p.budget.Entry(h.at, name); err != nil {
			return err
		}
		if err := p.budget.Fields(h.at, fields); err != nil {
			return err
		}
		p.c.Entries = append(p.c.Entries, container.Entry{Name: within, Fields: fields})
	}
	return nil
}

// links groups names that are the same file: for each index, the index of the first
// name.
func (p *pack) links(h *header, x *files) (map[int]int, error) {
	inodes, devices := h.find(tagFileInodes, kindInt32), h.find(tagFileDevices, kindInt32)
	modes := h.find(tagFileModes, kindInt16)
	n := len(x.names)
	if inodes == nil || devices == nil || modes == nil || inodes.count != n || devices.count != n || modes.count != n {
		return nil, nil
	}
	if err := p.budget.Names(h.at, int64(n)*64); err != nil {
		return nil, err
	}
	const regular = 0o100000
	first, out := map[[2]uint64]int{}, map[int]int{}
	for i := range n {
		if big(h.store[modes.from+2*i:modes.from+2*i+2])&0o170000 != regular {
			continue
		}
		key := [2]uint64{big(h.store[devices.from+4*i : devices.from+4*i+4]), big(h.store[inodes.from+4*i : inodes.from+4*i+4])}
		if at, ok := first[key]; ok {
			out[at], out[i] = at, at
			continue
		}
		first[key] = i
	}
	return out, nil
}

// algorithm returns the name of a digest algorithm by rpm's number. Digests of
// other algorithms never count as correct.
func algorithm(h *header, id uint32) string {
	t := h.find(id, kindInt32)
	if t == nil {
		return "md5" // the only algorithm before the tag existed
	}
	return map[uint64]string{1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}[big(h.store[t.from:t.from+4])]
}
