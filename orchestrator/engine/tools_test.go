// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"testing"

	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/recipes"
)

// TestNewTool: a recipe names a tool that no probe has asked for. The worker is probed
// again and the build fits, in one command and in a farm.
func TestNewTool(t *testing.T) {
	t.Parallel()
	const tool = "tee" // on every machine, and not among those that every probe asks for
	t.Run("one command", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, same, "w1", "w2")
		s.recipe.Tools = []recipes.Tool{{Name: tool}}
		if c, err := s.build(t.Context()); err != nil || c.Failure != nil {
			t.Errorf("%+v, %v", c.Failure, err)
		}
	})
	t.Run("farm", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, same, "w1", "w2")
		s.recipe.Tools = []recipes.Tool{{Name: tool}}
		e := s.engine()
		s.work(e)
		taken, err := e.Submit(t.Context(), engine.Submission{Recipes: []engine.Submitted{{Recipe: s.recipe, URI: "urn:zfarm:recipe:p:1", Path: "recipe.hcl"}}, Owner: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := e.Wait(t.Context(), taken[0].Build.ID); err != nil || b.Failure() != nil {
			t.Errorf("%+v, %v", b.Failure(), err)
		}
		registered, err := s.parts.Store.Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range registered {
			if w.Facts.Tools[tool].Path == "" || w.Facts.Tools["sed"].Path == "" {
				t.Errorf("%s has facts without what was found, new or old: %v", w.Name, w.Facts.Tools)
			}
		}
	})
}
