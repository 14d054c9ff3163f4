// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/plugins"
)

// maxFile bounds a .trs or .log file that is read whole, in bytes.
const maxFile = 4 << 20

// CollectScript prints every .trs file below the current folder in frames that
// [ReadCollected] reads: a line "zfarm-KIND BYTES NAME", that many bytes, a
// newline. KIND is trs; log, for the whole log of a test program with several
// results; or tail, for the end of the log of a single test that did not pass.
// "zfarm-end COUNT" comes last. The content of a frame cannot end the frame.
const CollectScript = `exec 2>/dev/null
frame() {
	printf 'zfarm-%s %d %s\n' "$1" "$3" "$2"
}
find . -type f -name '*.trs' | LC_ALL=C sort | {
	files=0
	while IFS= read -r trs; do
		[ -r "$trs" ] || continue
		files=$((files + 1))
		size=$(($(wc -c <"$trs")))
		if [ "$size" -gt 4194304 ]; then
			frame trs "$trs" 0
			echo
			continue
		fi
		frame trs "$trs" "$size"
		cat "$trs"
		echo
		results=0
		tell=no
		while IFS= read -r line; do
			case $line in
			:test-result:*XPASS*) results=$((results + 1)) tell=yes ;;
			:test-result:*PASS* | :test-result:*XFAIL*) results=$((results + 1)) ;;
			:test-result:*) results=$((results + 1)) tell=yes ;;
			esac
		done <"$trs"
		log=${trs%.trs}.log
		if [ ! -f "$log" ] || [ ! -r "$log" ]; then
			continue
		fi
		size=$(($(wc -c <"$log")))
		if [ "$results" -gt 1 ] && [ "$size" -le 4194304 ]; then
			frame log "$log" "$size"
			cat "$log"
			echo
		elif [ "$tell" = yes ]; then
			[ "$size" -le 3000 ] || size=3000
			frame tail "$log" "$size"
			tail -c "$size" "$log"
			echo
		fi
	done
	printf 'zfarm-end %d\n' "$files"
}
`

// ReadCollected reads the output of [CollectScript]. A test is named after its
// .trs file with the folders before it: "tests/zdiff". A program that ran
// several tests gives names such as "tests/program / name". A broken frame or
// a missing end is an error.
func ReadCollected(r io.Reader) ([]plugins.Case, error) {
	c := collected{r: bufio.NewReaderSize(r, maxLine)}
	for {
		f, err := c.frame()
		if err != nil {
			return nil, fmt.Errorf("reading collected tests: %w", err)
		}
		switch f.kind {
		case "trs":
			c.flush()
			c.file, c.results = strings.TrimSuffix(strings.TrimPrefix(f.name, "./"), ".trs"), results(f.data)
		case "log", "tail":
			if "./"+c.file+".log" != f.name {
				return nil, fmt.Errorf("reading collected tests: log %q does not follow its test", plugins.Line(f.name, 200))
			}
			c.log, c.whole = f.data, f.kind == "log"
		case "end":
			c.flush()
			if f.size != c.files {
				return nil, fmt.Errorf("reading collected tests: %d of %d files came", c.files, f.size)
			}
			return c.out.list, c.out.err()
		}
	}
}

// collected holds the test that is being read, and the tests so far.
type collected struct {
	r       *bufio.Reader
	files   int
	file    string
	results []plugins.Outcome
	log     []byte
	whole   bool
	out     cases
}

type frame struct {
	kind, name string
	size       int
	data       []byte
}

// frame reads the next frame.
func (c *collected) frame() (frame, error) {
	head, err := c.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	var f frame
	words := strings.SplitN(strings.TrimSuffix(string(head), "\n"), " ", 3)
	kind, ok := strings.CutPrefix(words[0], "zfarm-")
	if !ok || len(words) < 2 {
		return f, fmt.Errorf("want a frame, have %q", plugins.Line(string(head), 200))
	}
	f.kind = kind
	if f.size, err = strconv.Atoi(words[1]); err != nil || f.size < 0 {
		return f, fmt.Errorf("frame of %q bytes", plugins.Line(words[1], 40))
	}
	if kind == "end" && len(words) == 2 {
		return f, nil
	}
	if kind != "trs" && kind != "log" && kind != "tail" || len(words) != 3 || f.size > maxFile {
		return f, fmt.Errorf("want a frame, have %q", plugins.Line(string(head), 200))
	}
	f.name = words[2]
	var data bytes.Buffer
	if _, err := io.CopyN(&data, c.r, int64(f.size)); err != nil {
		return f, fmt.Errorf("frame of %q is cut short: %w", plugins.Line(f.name, 200), err)
	}
	if b, err := c.r.ReadByte(); err != nil || b != '\n' {
		return f, fmt.Errorf("frame of %q does not end where it should", plugins.Line(f.name, 200))
	}
	f.data = data.Bytes()
	return f, nil
}

// results reads a .trs file (automake manual, "API for Custom Test Drivers").
func results(trs []byte) []plugins.Outcome {
	var found []plugins.Outcome
	for line := range strings.SplitSeq(string(trs), "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), ":test-result:")
		if !ok || len(found) > plugins.MaxCases {
			continue
		}
		word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		o, ok := outcome(word)
		if !ok {
			o = plugins.Errored
		}
		found = append(found, o)
	}
	return found
}

// outcome returns the outcome that a word of automake or DejaGnu stands for.
func outcome(word string) (plugins.Outcome, bool) {
	switch word {
	case "PASS":
		return plugins.Passed, true
	case "FAIL":
		return plugins.Failed, true
	case "SKIP", "UNSUPPORTED", "UNTESTED":
		return plugins.Skipped, true
	case "XFAIL", "KFAIL":
		return plugins.ExpectedFail, true
	case "XPASS", "KPASS":
		return plugins.UnexpectedPass, true
	case "ERROR", "UNRESOLVED":
		return plugins.Errored, true
	}
	return "", false
}

// flush adds the tests of the file that was read.
func (c *collected) flush() {
	if c.file == "" {
		return
	}
	c.files++
	switch len(c.results) {
	case 0:
		c.out.add(plugins.Case{Name: c.file, Outcome: plugins.Errored, Detail: "its .trs file holds no result: the test was interrupted"})
	case 1:
		c.out.add(plugins.Case{Name: c.file, Outcome: c.results[0], Detail: c.detail(c.results[0])})
	default:
		c.addSeveral()
	}
	c.file, c.results, c.log, c.whole = "", nil, nil, false
}

// detail returns the end of the log of a test that did not pass.
func (c *collected) detail(o plugins.Outcome) string {
	if o == plugins.Passed || o == plugins.ExpectedFail {
		return ""
	}
	return string(c.log)
}

// addSeveral names the tests of one program by the TAP in its log. Without TAP it
// numbers them.
func (c *collected) addSeveral() {
	named, err := ReadTAP(bytes.NewReader(c.log))
	if err != nil || !c.whole || len(named) == 0 {
		for _, o := range c.results {
			c.out.add(plugins.Case{Name: c.file, Outcome: o})
		}
		return
	}
	for _, t := range named {
		t.Name = c.file + nameSeparator + t.Name
		c.out.add(t)
	}
	if AnyBad(named) {
		return
	}
	for _, o := range c.results {
		if Bad(o) { // the driver saw more than TAP reports, such as an exit status
			c.out.add(plugins.Case{Name: c.file, Outcome: o, Detail: plugins.Text(string(c.log), plugins.MaxDetail)})
			return
		}
	}
}
