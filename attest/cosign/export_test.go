// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cosign

import (
	"context"

	"github.com/zfarm/zfarm/attest"
)

// SignBytes signs anything, as somebody with the stolen key could.
func (s *Signer) SignBytes(ctx context.Context, payloadType string, payload []byte) (attest.Bundle, error) {
	return s.sign(ctx, payloadType, payload)
}
