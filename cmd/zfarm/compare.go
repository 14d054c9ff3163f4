// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/compare"
)

// The exit codes of "zfarm compare" are those of cmp(1).
const (
	compareDiffer  = 1
	compareTrouble = 2
)

func compareCommand() *cobra.Command {
	var f compareFlags
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two files or folders and name every difference",
		Long: `Compare two files or folders and name every difference. No farm is needed.

Archives are looked into, and archives within them. Exit code 0: the same, or
differing by no more than --allow; 1: different; 2: they could not be compared.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return f.compare(c.Context(), args[0], args[1], c.OutOrStdout())
		},
	}
	c.Flags().IntSliceVar(&f.allow, "allow", nil, "tiers of difference that are no difference: 0, 1, 2")
	c.Flags().IntVar(&f.members, "members", 100, "how many differing members to show")
	c.Flags().BoolVar(&f.asJSON, "json", false, "the verdict as JSON")
	c.Flags().StringVar(&f.page, "html", "", "write the report as one page to this file")
	c.Flags().BoolVar(&f.brief, "brief", false, "no hunks")
	return c
}

type compareFlags struct {
	allow   []int
	members int
	asJSON  bool
	brief   bool
	page    string
}

func (f *compareFlags) compare(ctx context.Context, a, b string, out io.Writer) error {
	o := compare.Options{}
	for _, tier := range f.allow {
		if tier < 0 || tier > int(compare.Stamp) {
			return exit{compareTrouble, fmt.Errorf("--allow %d: there are the tiers 0, 1 and 2", tier)}
		}
		o.Allowed = append(o.Allowed, compare.Tier(tier))
	}
	left, errA := comparable(a)
	right, errB := comparable(b)
	if err := errors.Join(errA, errB); err != nil {
		return exit{compareTrouble, err}
	}
	v, err := compare.Archives(ctx, left, right, o)
	if err == nil && f.page != "" {
		err = f.writePage(v, a, b)
	}
	if err != nil {
		return exit{compareTrouble, err}
	}
	if f.asJSON {
		err = writeJSON(out, v)
	} else {
		err = v.WriteText(out, compare.ReportOptions{Hunks: !f.brief, MaxMembers: f.members})
	}
	if err != nil {
		return exit{compareTrouble, err}
	}
	switch v.Outcome {
	case compare.Identical, compare.Equivalent:
		return nil
	case compare.Different:
		return exit{compareDiffer, errSaid}
	default:
		return exit{compareTrouble, errSaid}
	}
}

func (f *compareFlags) writePage(v compare.Verdict, a, b string) error {
	file, err := os.Create(f.page)
	if err != nil {
		return err
	}
	err = v.WriteHTML(file, compare.PageOptions{Title: filepath.Base(a) + " and " + filepath.Base(b), A: a, B: b})
	return errors.Join(err, file.Close())
}

// comparable opens a file or a folder.
func comparable(name string) (compare.Input, error) {
	info, err := os.Stat(name)
	if err != nil {
		return compare.Input{}, err
	}
	if info.IsDir() {
		return compare.Folder(filepath.Base(name), os.DirFS(name)), nil
	}
	return compare.Input{Name: filepath.Base(name), Open: func() (io.ReadCloser, error) { return os.Open(name) }}, nil
}
