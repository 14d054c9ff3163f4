// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement_test

import (
	"testing"

	"github.com/zfarm/zfarm/attest/statement"
)

func TestStrongestClaim(t *testing.T) {
	assessed := statement.Evidence{
		Registered: true, Signer: statement.HSM, Isolation: statement.Ephemeral, Attempts: 3, Fresh: 3,
		ClaimedLevel: 3, Assessment: "https://farm.example.org/assessment",
	}
	for _, tc := range []struct {
		name   string
		change func(*statement.Evidence)
		level  int
		id     string
	}{
		{"everything", func(*statement.Evidence) {}, 3, statement.BuilderEphemeral},
		{"key file", func(e *statement.Evidence) { e.Signer = statement.KeyFile }, 2, statement.BuilderEphemeral},
		{"unknown signer", func(e *statement.Evidence) { e.Signer = "paper" }, 2, statement.BuilderEphemeral},
		{"no admin's claim", func(e *statement.Evidence) { e.ClaimedLevel = 2 }, 2, statement.BuilderEphemeral},
		{"no assessment", func(e *statement.Evidence) { e.Assessment = "we looked" }, 2, statement.BuilderEphemeral},
		{"one attempt on a used system", func(e *statement.Evidence) { e.Fresh = 2 }, 2, statement.BuilderShared},
		{"slots", func(e *statement.Evidence) { e.Isolation = statement.Slot }, 2, statement.BuilderSlot},
		{"shared", func(e *statement.Evidence) { e.Isolation = statement.Shared }, 2, statement.BuilderShared},
		{"isolation unknown", func(e *statement.Evidence) { e.Isolation = "" }, 2, statement.BuilderShared},
		{"not registered", func(e *statement.Evidence) { e.Registered = false }, 1, statement.BuilderLocal},
		{"not signed", func(e *statement.Evidence) { e.Signer = statement.Unsigned }, 1, ""},
		{"nothing built", func(e *statement.Evidence) { e.Attempts, e.Fresh = 0, 0 }, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := assessed
			tc.change(&e)
			c := statement.StrongestClaim(e)
			if c.Level != tc.level || c.BuilderID != tc.id {
				t.Errorf("claim is level %d by %q, want %d by %q", c.Level, c.BuilderID, tc.level, tc.id)
			}
			if got := statement.ClaimedLevel(c.BuilderID); got > c.Level {
				t.Errorf("builder id %s claims level %d, the evidence carries %d", c.BuilderID, got, c.Level)
			}
			if (c.Level < 3) != (len(c.Reasons) > 0) {
				t.Errorf("level %d with reasons %q", c.Level, c.Reasons)
			}
			if err := statement.CheckClaim(e, tc.level); err != nil {
				t.Errorf("the level itself is refused: %v", err)
			}
			if err := statement.CheckClaim(e, tc.level+1); err == nil {
				t.Error("one level more is not refused")
			}
		})
	}
}

// TestDefaultIsLevelTwo: a farm with the defaults, a key file and a shared
// worker, claims level 2.
func TestDefaultIsLevelTwo(t *testing.T) {
	c := statement.StrongestClaim(statement.Evidence{Registered: true, Signer: statement.KeyFile, Isolation: statement.Shared, Attempts: 2})
	if c.Level != 2 || c.BuilderID != statement.BuilderShared {
		t.Errorf("claim is level %d by %q", c.Level, c.BuilderID)
	}
}
