// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSideDecksAreSets(t *testing.T) {
	const one, two = " IMPORT CODE64,'libx.so','first'\n", " IMPORT CODE64,'libx.so','second'\n"
	const other = " IMPORT CODE64,'libx.so','third'\n"
	for _, tt := range []struct {
		name, a, b string
		outcome    Outcome
		fields     []string
	}{
		{"another order", one + two, two + one, Equivalent, []string{"order"}},
		{"another symbol", one + two, one + other, Different, []string{"sidedeck.import", "sidedeck.import"}},
		{"another library", one + two, one + " IMPORT CODE64,'liby.so','second'\n", Different, []string{"sidedeck.import", "sidedeck.import"}},
		{"one more", one, one + two, Different, []string{"sidedeck.import"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verdictOf(t, archive(t, reg("lib/x.x", tt.a)), archive(t, reg("lib/x.x", tt.b)), known())
			var fields []string
			for _, f := range v.Findings {
				fields = append(fields, f.Field)
			}
			if diff := cmp.Diff(tt.fields, fields); v.Outcome != tt.outcome || diff != "" {
				t.Errorf("%s (-want +have):\n%s", v.Outcome, diff)
			}
		})
	}
}

// gencert is a program object that, by its own records, was bound at 02:02:02.946
// on day 56 of 2022.
func gencert(t *testing.T) []byte {
	t.Helper()
	dir := os.Getenv("ZFARM_ZOS_BINARIES")
	if dir == "" {
		t.Skip("compares edited copies of a real program object: set ZFARM_ZOS_BINARIES to a folder that has gencert")
	}
	b, err := os.ReadFile(filepath.Join(dir, "gencert"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// saved is the offset of the time and user of saving in the PMARL of gencert.
func savedAt(t *testing.T, b []byte) int {
	t.Helper()
	for i := range len(b) - 8 {
		if string(b[i:i+4]) == "\x20\x22\x05\x6f" && b[i+7]&0x0f == 0x0f {
			return i
		}
	}
	t.Fatal("gencert was saved at another time than is known of it")
	return 0
}

func TestProgramObjectEdits(t *testing.T) {
	original := gencert(t)
	at := savedAt(t, original)
	k := Known{
		A: Conditions{Begun: time.Date(2022, 2, 25, 0, 0, 0, 0, time.UTC), Ended: time.Date(2022, 2, 26, 0, 0, 0, 0, time.UTC), Zone: "UTC0"},
		B: Conditions{Begun: time.Date(2022, 2, 26, 0, 0, 0, 0, time.UTC), Ended: time.Date(2022, 2, 27, 12, 0, 0, 0, time.UTC), Zone: "UTC0"},
	}
	for _, tt := range []struct {
		name    string
		edit    func(b []byte)
		outcome Outcome
		field   string
	}{
		{"saved a day later", func(b []byte) { copy(b[at:], "\x20\x22\x05\x7f") }, Equivalent, "pmarl.saved"},
		{"saved at no time", func(b []byte) { copy(b[at:], "\x20\x22\xff\x7f") }, Different, "pmarl.saved"},
		{"saved years later", func(b []byte) { copy(b[at:], "\x20\x25\x05\x7f") }, Different, "pmarl.saved"},
		{"saved by another", func(b []byte) { copy(b[at+8:], "\xc1\xc2\xc3") }, Equivalent, "pmarl.userid"},
		{"a byte behind its end", func(b []byte) { b[len(b)-1] ^= 1 }, Different, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := append([]byte(nil), original...)
			tt.edit(b)
			v, err := Archives(t.Context(), input("a", archive(t, reg("bin/gencert", string(original)))), input("b", archive(t, reg("bin/gencert", string(b)))),
				Options{Allowed: []Tier{Container, Header, Stamp}, Known: k})
			if err != nil || v.Outcome != tt.outcome || len(v.Findings) != 1 || tt.field != "" && v.Findings[0].Field != tt.field {
				t.Errorf("%s, %v: %+v", v.Outcome, err, v.Findings)
			}
		})
	}
}

// arFile is an ar archive of members "name=body" with one time.
func arFile(mtime string, members ...string) string {
	out := "!<arch>\n"
	for _, m := range members {
		name, body, _ := strings.Cut(m, "=")
		out += fmt.Sprintf("%-16s%-12s%-6s%-6s%-8s%-10d`\n%s", name+"/", mtime, "0", "0", "100644", len(body), body)
		if len(body)%2 == 1 {
			out += "\n"
		}
	}
	return out
}

// zipFile is a zip archive of members "name=body" with one time.
func zipFile(t *testing.T, method uint16, modified time.Time, members ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, m := range members {
		name, body, _ := strings.Cut(m, "=")
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: modified})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// pycBody is the part of a module behind the magic number: flags, time, size and
// code.
const pycBody = "\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\xe3\x00\x00\x00\x00"

// cpioFile is a cpio archive in the new form of members "name=body" with one time.
func cpioFile(mtime string, members ...string) string {
	out := ""
	pad := func() { out += strings.Repeat("\x00", (4-len(out)%4)%4) }
	for _, m := range append(members, "TRAILER!!!=") {
		name, body, _ := strings.Cut(m, "=")
		mode := "81a4"
		if name == "TRAILER!!!" {
			mode, mtime = "0", "0"
		}
		out += "070701"
		for _, field := range []string{"0", mode, "0", "0", "1", mtime, fmt.Sprintf("%x", len(body)), "0", "0", "0", "0", fmt.Sprintf("%x", len(name)+1), "0"} {
			out += strings.Repeat("0", 8-len(field)) + field
		}
		out += name + "\x00"
		pad()
		out += body
		pad()
	}
	return out
}

func TestContainersInMembers(t *testing.T) {
	later := begun().Add(26 * time.Hour)
	long := strings.Repeat("compress me ", 100)
	gz := func(name, body string) string {
		return string(zipped(t, []byte(body), gzip.Header{Name: name, ModTime: begun()}, gzip.BestSpeed))
	}
	for _, tt := range []struct {
		name, a, b string
		outcome    Outcome
		found      []string // path field
	}{
		{"ar: times", arFile("1", "x.o=one"), arFile("2", "x.o=one"), Equivalent, []string{"f/x.o ar.mtime"}},
		{"ar: content", arFile("1", "x.o=one", "y.o=two"), arFile("1", "x.o=one", "y.o=Two"), Different, []string{"f/y.o content"}},
		{"ar: order", arFile("1", "x.o=one", "y.o=two"), arFile("1", "y.o=two", "x.o=one"), Equivalent, []string{"f order"}},
		{"ar: a member more", arFile("1", "x.o=one"), arFile("1", "x.o=one", "y.o=two"), Different, []string{"f/y.o member"}},
		{"zip: times", zipFile(t, zip.Store, begun(), "a=one"), zipFile(t, zip.Store, later, "a=one"), Equivalent, []string{"f/a zip.time"}},
		{"zip: packed otherwise", zipFile(t, zip.Store, begun(), "a="+long), zipFile(t, zip.Deflate, begun(), "a="+long), Equivalent, []string{"f/a zip.method"}},
		{"zip: content", zipFile(t, zip.Deflate, begun(), "a="+long+"1"), zipFile(t, zip.Deflate, begun(), "a="+long+"2"), Different, []string{"f/a content"}},
		{"gzip: name", gz("one", long), gz("two", long), Equivalent, []string{"f! gzip.name"}},
		{"cpio: times", cpioFile("5", "a=one"), cpioFile("6", "a=one"), Equivalent, []string{"f/a cpio.mtime"}},
		{"cpio: content", cpioFile("5", "a=one", "b=two"), cpioFile("5", "a=one", "b=2"), Different, []string{"f/b content"}},
		{"pyc: interpreter", "\xcb\x0d\r\n" + pycBody, "\xa7\x0d\r\n" + pycBody, Different, []string{"f pyc.magic"}},
		{"gzip in zip in ar", arFile("1", "z="+zipFile(t, zip.Store, begun(), "g="+gz("n", "at 15:03:00 "))), arFile("1", "z="+zipFile(t, zip.Store, begun(), "g="+gz("n", "at 16:04:00 "))),
			Equivalent, []string{"f/z/g! stamp.time"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verdictOf(t, archive(t, reg("f", tt.a)), archive(t, reg("f", tt.b)), known())
			if v.Outcome != tt.outcome {
				t.Errorf("%s, want %s: %+v", v.Outcome, tt.outcome, v.Findings)
			}
			have := map[string]bool{}
			for _, f := range v.Findings {
				have[f.Path+" "+f.Field] = true
			}
			for _, want := range tt.found {
				if !have[want] {
					t.Errorf("no finding %q in %v", want, have)
				}
			}
		})
	}
}

// TestObjectsForZOS compares objects that a compiler for z/OS made from the same
// source, and from another.
func TestObjectsForZOS(t *testing.T) {
	object := func(name string) string {
		b, err := os.ReadFile(filepath.Join("format", "goff", "testdata", name+".o"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	at := time.Unix(1_800_000_000, 0)
	k := Known{A: Conditions{Begun: at.Add(-time.Minute), Ended: at.Add(time.Minute), Zone: "ZFA+12"},
		B: Conditions{Begun: at.Add(-time.Minute), Ended: at.Add(time.Minute), Zone: "ZFB-14"}}
	elsewhen := Known{A: Conditions{Begun: at.Add(time.Hour), Ended: at.Add(2 * time.Hour)}, B: Conditions{Begun: at.Add(time.Hour), Ended: at.Add(2 * time.Hour)}}
	for _, tt := range []struct {
		name, a, b string
		known      Known
		outcome    Outcome
		fields     []string
	}{
		{"two seconds later", "plain", "later", k, Equivalent, []string{"ppa2.compiled", "idrl.translated"}},
		{"outside the time of the build", "plain", "later", elsewhen, Different, []string{"ppa2.compiled", "idrl.translated"}},
		{"a changed constant", "plain", "changed", k, Different, []string{"goff.txt.C_CODE64"}},
		{"another folder", "mapped-a", "mapped-b", k, Identical, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verdictOf(t, archive(t, reg("lib.a", arFile("1", "x.o="+object(tt.a)))), archive(t, reg("lib.a", arFile("1", "x.o="+object(tt.b)))), tt.known)
			seen := map[string]bool{}
			for _, f := range v.Findings {
				seen[f.Field] = true
			}
			for _, f := range tt.fields {
				if !seen[f] {
					t.Errorf("no finding %s: %+v", f, v.Findings)
				}
			}
			if v.Outcome != tt.outcome || len(seen) != len(tt.fields) {
				t.Errorf("%s: %+v", v.Outcome, v.Findings)
			}
		})
	}
}

// TestSymbolsInAnotherOrder swaps two symbols of an object: the link order is
// reported, and explains nothing away.
func TestSymbolsInAnotherOrder(t *testing.T) {
	a, err := os.ReadFile(filepath.Join("format", "goff", "testdata", "plain.o"))
	if err != nil {
		t.Fatal(err)
	}
	var cards []int
	for at := 0; at+80 <= len(a); at += 80 {
		if a[at] == 3 && a[at+1] == 0 && a[at+71] > 0 { // a symbol with a name, in one card
			cards = append(cards, at)
		}
	}
	if len(cards) < 2 {
		t.Fatal("too few symbols")
	}
	b := bytes.Clone(a)
	first, last := cards[0], cards[len(cards)-1]
	copy(b[first:], a[last:last+80])
	copy(b[last:], a[first:first+80])
	v := verdictOf(t, archive(t, reg("x.o", string(a))), archive(t, reg("x.o", string(b))), known())
	told := false
	for _, f := range v.Findings {
		told = told || strings.HasPrefix(f.Field, "goff.esd") && strings.Contains(f.Evidence, "symbols in another order: link order")
	}
	if v.Outcome != Different || !told {
		t.Errorf("%s: %+v", v, v.Findings)
	}
}
