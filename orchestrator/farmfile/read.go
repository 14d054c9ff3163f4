// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farmfile

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/recipes/nearest"
	"github.com/zfarm/zfarm/workers"
)

// farm reads the whole file. It goes on after faults, to report all of them.
// What it returns is valid only if there were none.
func (r *reader) farm() *Farm {
	if r.file == nil || r.diags.HasErrors() {
		return nil
	}
	top := hcl.Range{Filename: r.name, Start: hcl.InitialPos, End: hcl.InitialPos}
	root := r.open(r.file.Body, top, shape{blocks: []nested{
		{name: "farm", label: true, most: 1}, {name: "signing", most: 1}, {name: "worker", label: true, most: maxBlocks},
		{name: "scheduling", most: 1}, {name: "oidc", most: 20}, {name: "rebuild", label: true, most: 100}, {name: "probe", most: 1},
		{name: "retention", most: 1}, {name: "limits", most: 1}, {name: "plugin", label: true, most: maxBlocks},
	}, reserved: map[string]string{
		"policy": "The name \"policy\" is reserved for what a release demands. How builds are given to workers is configured in a block \"scheduling\".",
	}})
	f := &Farm{Dir: r.dir}
	if all := root.blocks["farm"]; len(all) == 1 {
		r.readFarm(f, all[0])
	} else if !r.diags.HasErrors() {
		r.errorf(top, "Missing block", "A farm has a name. Begin the file with farm \"NAME\" {} and a worker.")
	}
	for _, b := range root.blocks["signing"] {
		f.Signing = r.signing(b)
	}
	if f.Signing == nil {
		r.warnf(top, "Nothing is signed", "There is no signing block, so that no build can be released. Make a key with \"zfarm key generate\" and name it there.")
	}
	f.Workers = r.workers(root.blocks["worker"])
	if len(f.Workers) == 0 {
		r.warnf(top, "No worker", "There is no worker block, so that every build waits. Add worker \"NAME\" { address = \"ssh://user@host/folder\" }.")
	}
	r.scheduling(f, root.optionalBlock("scheduling"))
	for _, b := range root.blocks["oidc"] {
		f.OIDC = append(f.OIDC, r.oidc(b, f.OIDC))
	}
	for _, b := range root.blocks["rebuild"] {
		f.Rebuilds = append(f.Rebuilds, r.rebuild(b))
	}
	f.Probe = r.probe(root.optionalBlock("probe"))
	f.Retention = r.retention(root.optionalBlock("retention"))
	f.Limits = r.limits(root.optionalBlock("limits"))
	for _, b := range root.blocks["plugin"] {
		f.Plugins = append(f.Plugins, r.plugin(b))
	}
	return f
}

// optionalBlock returns a block of which there is at most one. If there is none, it
// returns an empty block, so that the defaults are read in the same way.
func (b *block) optionalBlock(name string) *hcl.Block {
	if all := b.blocks[name]; len(all) > 0 {
		return all[0]
	}
	return &hcl.Block{Type: name, Body: hcl.EmptyBody(), DefRange: b.head}
}

// openBlock opens a block.
func (r *reader) openBlock(b *hcl.Block, s shape) *block { return r.open(b.Body, b.DefRange, s) }

func (r *reader) readFarm(f *Farm, src *hcl.Block) {
	b := r.openBlock(src, shape{
		optional: []string{"database", "store", "sources", "mirrors", "offline", "listen", "insecure"},
		blocks:   []nested{{name: "tls", most: 1}},
	})
	f.Name = src.Labels[0]
	f.Database = b.database()
	f.Store, f.Sources = b.path("store", "store"), b.path("sources", "sources")
	if f.Store != "" && f.Store == f.Sources {
		r.errorf(b.at("sources"), "Folder named twice", "Artifacts and sources are kept apart. Name two folders.")
	}
	items, _ := b.items("mirrors")
	for _, it := range items {
		if m, ok := r.mirror(it); ok {
			f.Mirrors = append(f.Mirrors, m)
		}
	}
	f.Offline = b.flag("offline")
	for _, t := range b.blocks["tls"] {
		in := r.openBlock(t, shape{required: []string{"cert", "key"}})
		f.TLS = &TLS{in.existing("cert", "the server's certificate chain in PEM"), in.existing("key", "the key of the server's certificate in PEM")}
	}
	var loopback bool
	f.Listen, loopback = b.listen("listen", "127.0.0.1:8473")
	f.Insecure = b.flag("insecure")
	switch {
	case f.Insecure && f.TLS != nil:
		r.errorf(b.at("insecure"), "Contradiction", "With a tls block the server is not insecure. Remove one of the two.")
	case !loopback && f.TLS == nil && !b.given("insecure"):
		r.errorf(b.at("listen"), "Server without TLS", "Other machines reach this address, and tokens and logs would travel in the clear. Add a tls block with cert and key; "+
			"where something before the server does TLS, write insecure = true.")
	case !loopback && f.TLS == nil && !f.Insecure:
		r.errorf(b.at("insecure"), "Server without TLS", "Other machines reach %s. Add a tls block with cert and key, or listen on a loopback address.", f.Listen)
	}
}

// database returns the address of the database; a path in it becomes absolute.
func (b *block) database() string {
	s, ok := b.text("database", maxLine)
	if !ok {
		s = "sqlite:farm.db"
	}
	if file, ok := strings.CutPrefix(s, "sqlite:"); ok && file != "" && !strings.HasPrefix(file, "//") {
		if p := b.r.resolve(b.at("database"), file); p != "" {
			return "sqlite:" + p
		}
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || strings.Trim(u.Path, "/") == "" {
		b.r.secrets = append(b.r.secrets, b.at("database")) // whatever it is, it may hold a password
		b.r.errorf(b.at("database"), "Invalid database", "Write \"sqlite:FILE\", or \"postgres://user@host:port/database\".")
		return ""
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		b.r.warnf(b.at("database"), "Password in the file", "Whoever reads the file can use the database. Leave the password out, and put it into the file that PGPASSFILE names (~/.pgpass) or into PGPASSWORD.")
	}
	return s
}

func (r *reader) signing(src *hcl.Block) *Signing {
	b := r.openBlock(src, shape{required: []string{"key"}, optional: []string{"password_file", "password_env", "public"}})
	s := &Signing{}
	if text, ok := b.text("key", maxLine); ok {
		ref, err := keys.ParseRef(text)
		if err != nil {
			r.errorf(b.at("key"), "Invalid key", "This is no key that the farm can use: %s.", err)
		} else if ref.Path = r.resolve(b.at("key"), ref.Path); ref.Path != "" {
			s.Key = ref
			r.files = append(r.files, namedFile{ref.Path, b.at("key"), "the private key that signs (\"zfarm key generate\" makes one)"})
		}
	}
	s.PasswordFile = b.existing("password_file", "the file with the password of the key")
	if name, ok := b.text("password_env", 100); ok {
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			r.errorf(b.at("password_env"), "Invalid name", "\"password_env\" is the name of an environment variable, such as \"ZFARM_KEY_PASSWORD\", not the password itself.")
			r.secrets = append(r.secrets, b.at("password_env"))
		}
		s.PasswordEnv = name
	}
	if b.given("password_file") && b.given("password_env") {
		r.errorf(b.at("password_env"), "Contradiction", "The password comes from \"password_file\" or from \"password_env\". Remove one of the two.")
	}
	s.Public = b.existing("public", "the public key of those signatures")
	return s
}

func (r *reader) workers(all []*hcl.Block) []Worker {
	var out []Worker
	at := make(map[string]string)
	for _, src := range all {
		w := r.worker(src)
		if place := w.place(); place != "" {
			if other, taken := at[place]; taken {
				r.errorf(src.DefRange, "Worker given twice", "%s is at the address of %s. Repeats on both would be taken for repeats on two machines; give one of them more slots instead.", w.Name, other)
			}
			at[place] = w.Name
		}
		out = append(out, w)
	}
	return out
}

// place returns the folder of the worker's workspaces; "" if it is not known.
func (w Worker) place() string {
	a, err := workers.ParseAddress(w.Address)
	switch {
	case err != nil:
		return ""
	case w.Local:
		return w.Address + w.Root
	}
	return strings.ToLower(a.HostPort()) + a.Dir
}

func (r *reader) worker(src *hcl.Block) Worker {
	b := r.openBlock(src, shape{
		required: []string{"address"},
		optional: []string{"slots", "labels", "known_hosts", "host_keys", "identity", "shell", "path", "lease"},
	})
	w := Worker{Name: src.Labels[0], Slots: b.count("slots", 1, 1, 1000), Labels: b.labels()}
	if s, ok := b.text("address", 500); ok {
		r.address(b.at("address"), s, &w)
	}
	for _, name := range []string{"known_hosts", "host_keys", "identity"} {
		if w.Local && b.given(name) {
			r.errorf(b.at(name), "Setting of no use", "Nobody logs in to a local worker. Remove %q.", name)
		}
	}
	b.trust(&w)
	if s, ok := b.text("shell", 200); ok {
		if w.Shell = s; !plain(strings.TrimPrefix(s, "/"), "+._/-", 200) || strings.Contains(strings.TrimPrefix(s, "/"), "/") && s[0] != '/' {
			r.errorf(b.at("shell"), "Invalid shell", "Write the name of a program such as \"bash\", or its whole path on the worker.")
		}
	}
	items, _ := b.items("path")
	for _, it := range items {
		if !strings.HasPrefix(it.text, "/") || !plain(strings.TrimLeft(it.text, "/"), "+._~@,=/-", 500) {
			r.errorf(it.at, "Invalid folder", "The elements of \"path\" are absolute folders on the worker, such as \"/usr/lpp/tools/bin\", without colons and spaces.")
		}
		w.Path = append(w.Path, it.text)
	}
	w.Lease = b.span("lease", 30*time.Minute, 2*time.Second, 30*day, false)
	return w
}

// trust reads how the farm authenticates the worker, and itself to the worker.
func (b *block) trust(w *Worker) {
	w.KnownHosts = b.existing("known_hosts", "a known_hosts file; \"ssh-keyscan HOST\" prints lines for it, whose fingerprints the administrator of the worker confirms")
	keys, _ := b.items("host_keys")
	for _, it := range keys {
		if b.r.checkHostKey(it) {
			w.HostKeys = append(w.HostKeys, it.text)
		}
	}
	switch {
	case b.given("host_keys") && b.given("known_hosts"):
		b.r.errorf(b.at("host_keys"), "Contradiction", "Host keys are pinned by \"known_hosts\" or by \"host_keys\". Remove one of the two.")
	case b.given("host_keys") && len(keys) == 0 && b.values["host_keys"].IsKnown():
		b.r.errorf(b.at("host_keys"), "No host key", "A worker without a pinned host key is not talked to. Write the key that \"ssh-keyscan HOST\" prints, once its administrator confirmed the fingerprint.")
	}
	identities, _ := b.items("identity")
	for _, it := range identities {
		if !b.r.checkLine(it.at, "The name of a file", it.text, maxLine) {
			continue
		}
		if p := b.r.resolve(it.at, it.text); p != "" {
			w.Identity = append(w.Identity, p)
			b.r.files = append(b.r.files, namedFile{p, it.at, "a private key to log in with"})
		}
	}
}

// labels returns the labels, which recipes require as NAME or NAME=VALUE.
func (b *block) labels() map[string]string {
	all := b.pairs("labels")
	if len(all) == 0 {
		return nil
	}
	out := make(map[string]string)
	for _, p := range all {
		switch {
		case !plain(p.key.text, "._-", 64):
			b.r.errorf(p.key.at, "Invalid label", "The name of a label is made of letters, digits, ., _ and -, begins with a letter or digit, and has 64 characters at most.")
		case p.value.text != "" && !plain(p.value.text, "._-", 64):
			b.r.errorf(p.value.at, "Invalid label", "The value of a label is empty or made of letters, digits, ., _ and -, begins with a letter or digit, and has 64 characters at most.")
		default:
			out[p.key.text] = p.value.text
		}
	}
	return out
}

func (r *reader) scheduling(f *Farm, src *hcl.Block) {
	b := r.openBlock(src, shape{optional: []string{"spread", "aging", "reserve", "patience"}, blocks: []nested{{name: "share", label: true, most: maxBlocks}}})
	f.Scheduling = schedule.Settings{
		Spread: []string{"worker"}, Aging: b.span("aging", time.Hour, time.Second, 365*day, false),
		Reserve: b.span("reserve", 15*time.Minute, time.Second, 365*day, false),
	}
	if items, ok := b.items("spread"); ok {
		f.Scheduling.Spread = r.spread(b, items)
	}
	for _, s := range b.blocks["share"] {
		if f.Scheduling.Shares == nil {
			f.Scheduling.Shares = make(map[string]float64)
		}
		in := r.openBlock(s, shape{required: []string{"weight"}})
		f.Scheduling.Shares[s.Labels[0]] = in.ratio("weight", 1, 0.001, 1000)
	}
	usual := 10 * time.Minute
	for _, w := range f.Workers {
		usual = min(usual, w.Lease/2)
	}
	f.Patience = b.span("patience", usual, time.Second, 30*day, false)
	for _, w := range f.Workers {
		if w.Lease <= f.Patience {
			r.errorf(b.at("patience"), "Impatient workers", "Steps on the worker %s end after %s without the farm (its lease), and the farm would wait for them for %s. Make \"patience\" shorter or that lease longer.",
				w.Name, spanText(w.Lease), spanText(f.Patience))
		}
	}
}

// spread requires names of facts that distinguish workers.
func (r *reader) spread(b *block, items []item) []string {
	if len(items) == 0 {
		r.errorf(b.at("spread"), "No spread", "Name what the repeats of a build must differ in, at least [\"worker\"].")
	}
	var out []string
	for _, it := range items {
		_, name, named := strings.Cut(it.text, ":")
		switch {
		case slices.Contains(out, it.text):
			r.errorf(it.at, "Word given twice", "\"spread\" has %q already. Remove one of the two.", it.text)
		case schedule.KnownFact(it.text) && (!named || plain(name, "+._-", 64)):
			out = append(out, it.text)
		default:
			r.errorf(it.at, "Unknown word", "\"spread\" does not know %q.%s", it.text,
				nearest.OneOf(it.text, schedule.Facts()))
		}
	}
	return out
}

func (r *reader) oidc(src *hcl.Block, before []OIDC) OIDC {
	b := r.openBlock(src, shape{required: []string{"issuer", "audience"}, optional: []string{"name"}, blocks: []nested{{name: "rule", most: maxBlocks}}})
	var o OIDC
	if s, ok := b.text("issuer", 500); ok && r.checkIssuer(b.at("issuer"), s) {
		o.Issuer = s
	}
	if o.Issuer != "" && slices.ContainsFunc(before, func(x OIDC) bool { return x.Issuer == o.Issuer }) {
		r.errorf(b.at("issuer"), "Issuer given twice", "There is an oidc block with this issuer already. Put the rules of both into one.")
	}
	o.Audience, _ = b.text("audience", 500)
	o.Name, _ = b.text("name", 200)
	if len(b.blocks["rule"]) == 0 {
		r.errorf(src.DefRange, "No rule", "Without a rule, nobody whom this issuer knows may do anything. Add rule { claim = \"...\" value = \"...\" roles = [\"reader\"] }, one argument a line.")
	}
	for _, s := range b.blocks["rule"] {
		o.Rules = append(o.Rules, r.rule(s))
	}
	return o
}

func (r *reader) rule(src *hcl.Block) Rule {
	b := r.openBlock(src, shape{required: []string{"roles"}, optional: []string{"claim", "value", "claims", "ports"}})
	rule := Rule{Claims: b.claims()}
	rule.Roles = b.words("roles", []string{Reader, Release, Maintainer, Admin})
	if items, ok := b.items("roles"); ok && len(items) == 0 {
		r.errorf(b.at("roles"), "No role", "Give one of %s, %s, %s and %s at least, or remove the rule.", Reader, Release, Maintainer, Admin)
	}
	rule.Ports = b.ports("ports", nil)
	switch maintainer := slices.Contains(rule.Roles, Maintainer); {
	case maintainer && !b.given("ports"):
		r.errorf(b.at("roles"), "Maintainer of nothing", "A maintainer may submit the ports that \"ports\" names. Add it; [\"*\"] is all of them.")
	case !maintainer && b.given("ports") && len(rule.Roles) > 0:
		r.errorf(b.at("ports"), "Setting of no use", "\"ports\" says what a maintainer may submit, and this rule makes none. Remove it, or add the role %s.", Maintainer)
	}
	return rule
}

// claims reads either one claim with its value, or a map of several.
func (b *block) claims() map[string]string {
	out := make(map[string]string)
	add := func(name string, nameAt hcl.Range, pattern string, at hcl.Range) {
		_, err := path.Match(pattern, "")
		switch {
		case !b.r.checkLine(nameAt, "The name of a claim", name, 200), !b.r.checkLine(at, "The value of a claim", pattern, 500):
		case err != nil:
			b.r.errorf(at, "Invalid pattern", "The pattern %q has a bracket or backslash without its other half. * stands for any letters but /, ? for one.", pattern)
		default:
			out[name] = pattern
		}
	}
	switch one, value, many := b.given("claim"), b.given("value"), b.given("claims"); {
	case many && (one || value):
		b.r.errorf(b.at("claims"), "Contradiction", "Write \"claim\" and \"value\", or \"claims\" for several at once.")
	case many:
		all := b.pairs("claims")
		for _, p := range all {
			add(p.key.text, p.key.at, p.value.text, p.value.at)
		}
		if v, ok := b.values["claims"]; ok && v.Type().IsObjectType() && v.LengthInt() == 0 {
			b.r.errorf(b.at("claims"), "No claim", "A rule without claims would fit every token of the issuer. Name one at least.")
		}
	case !one || !value:
		b.r.errorf(b.head, "No claim", "Say whose tokens the rule is for: \"claim\" names a claim, \"value\" what it must say. Several at once are claims = { name = \"value\" }.")
	default:
		name, named := b.text("claim", 200)
		if pattern, ok := b.text("value", 500); ok && named {
			add(name, b.at("claim"), pattern, b.at("value"))
		}
	}
	return out
}

func (r *reader) rebuild(src *hcl.Block) Rebuild {
	b := r.openBlock(src, shape{required: []string{"cron"}, optional: []string{"ports", "priority"}})
	out := Rebuild{Name: src.Labels[0], Ports: b.ports("ports", []string{"*"}), Priority: b.count("priority", -1, -100, 100)}
	if s, ok := b.text("cron", 200); ok {
		plan, err := parseCron(s)
		if err != nil {
			r.errorf(b.at("cron"), "Invalid time table", "Write minute, hour, day of the month, month and day of the week, such as \"0 3 * * 0\" for Sundays at three (UTC): %s.", err)
		}
		out.Cron, out.plan = s, plan
	}
	return out
}

func (r *reader) probe(src *hcl.Block) Probe {
	b := r.openBlock(src, shape{optional: []string{"every", "free", "clock"}})
	return Probe{
		Every: b.span("every", 5*time.Minute, 10*time.Second, day, false),
		Free:  b.size("free", 1<<30, 64<<20, 1<<50),
		Clock: b.span("clock", 5*time.Minute, time.Second, day, false),
	}
}

func (r *reader) retention(src *hcl.Block) Retention {
	b := r.openBlock(src, shape{optional: []string{"builds", "logs", "grace"}})
	return Retention{
		Builds: b.span("builds", 90*day, time.Hour, 36500*day, true),
		Logs:   b.span("logs", 0, time.Hour, 36500*day, true),
		Grace:  b.span("grace", day, time.Hour, 365*day, false),
	}
}

func (r *reader) limits(src *hcl.Block) Limits {
	b := r.openBlock(src, shape{optional: []string{"upload", "requests", "burst"}})
	return Limits{
		Upload:   b.size("upload", 64<<20, 1<<10, 4<<30),
		Requests: b.ratio("requests", 50, 0.1, 100_000),
		Burst:    b.count("burst", 500, 1, 1_000_000),
	}
}

func (r *reader) plugin(src *hcl.Block) Plugin {
	b := r.openBlock(src, shape{required: []string{"path", "sha256"}})
	p := Plugin{Name: src.Labels[0], Path: b.existing("path", "the program of the plugin")}
	if s, ok := b.text("sha256", 200); ok {
		d, err := digest.Parse(s)
		if err != nil || d.IsZero() {
			r.errorf(b.at("sha256"), "Invalid checksum", "\"sha256\" wants the 64 hexadecimal digits that \"sha256sum\" prints for the program.")
		}
		p.SHA256 = d
	}
	return p
}
