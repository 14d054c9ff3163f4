// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package obj

import (
	"slices"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

func TestJoined(t *testing.T) {
	text := func(section, address byte, data string) Card {
		return Text{ID: [2]byte{0, section}, Address: [3]byte{0, 0, address}, Data: []byte(data)}
	}
	for _, c := range []struct {
		name      string
		cards     []Card
		at, reach int64
		want      []span.Stretch
	}{
		{"it goes on", []Card{text(1, 0, "first"), text(1, 5, "second"), text(1, 11, "third")}, 98, 100, []span.Stretch{{Offset: 16, Length: 5}, {Offset: 96, Length: 6}, {Offset: 176, Length: 5}}},
		{"near by only", []Card{text(1, 0, "first"), text(1, 5, "second"), text(1, 11, "third")}, 98, 2, []span.Stretch{{Offset: 96, Length: 6}}},
		{"another address", []Card{text(1, 0, "first"), text(1, 6, "second")}, 16, 100, []span.Stretch{{Offset: 16, Length: 5}}},
		{"another section", []Card{text(1, 0, "first"), text(2, 5, "second")}, 96, 100, []span.Stretch{{Offset: 96, Length: 6}}},
		{"another card", []Card{text(1, 0, "first"), Relocations{}, text(1, 5, "second")}, 16, 100, []span.Stretch{{Offset: 16, Length: 5}}},
		{"no text", []Card{text(1, 0, "first"), Relocations{Data: []byte("r")}}, 96, 100, nil},
		{"before the text", []Card{text(1, 0, "first")}, 5, 100, nil},
		{"behind it", []Card{text(1, 0, "first")}, 21, 100, nil},
		{"behind the end", []Card{text(1, 0, "first")}, 80, 100, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := open(t, encode(t, c.cards...)).Joined(c.at, c.reach); !slices.Equal(have, c.want) {
				t.Errorf("%v, want %v", have, c.want)
			}
		})
	}
}
