// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

func wireToken(t store.Token) wire.Token {
	return wire.Token{ID: t.ID, Name: t.Name, Roles: t.Roles, Ports: t.Ports, Created: t.Created, Expires: t.Expires, Revoked: t.Revoked}
}

func wirePrincipal(p Principal) wire.Principal {
	return wire.Principal{Name: p.Name, Roles: p.Roles, Ports: p.Ports}
}

func wireAudit(a store.Audit) wire.Audit {
	return wire.Audit{Seq: a.Seq, At: a.At, Who: a.Who, What: a.What, Subject: a.Subject, Detail: a.Detail, Request: a.Request, Refused: a.Refused}
}
