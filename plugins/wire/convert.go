// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// text makes a string valid for a message.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// FromDescription returns d as a message.
func FromDescription(d plugins.Description) *DescribeResponse {
	return &DescribeResponse{
		Name: text(d.Name), Version: text(d.Version),
		Builder: fromSchema(d.Builder), Tester: fromSchema(d.Tester),
	}
}

func fromSchema(s *plugins.Schema) *Schema {
	if s == nil {
		return nil
	}
	m := &Schema{}
	for _, a := range s.Attributes {
		m.Attributes = append(m.Attributes, &Attribute{Name: text(a.Name), Type: text(a.Type), Required: a.Required, Doc: text(a.Doc)})
	}
	return m
}

// ToDescription returns a plugin's description of itself, not yet validated.
func ToDescription(m *DescribeResponse) plugins.Description {
	return plugins.Description{
		Name: m.GetName(), Version: m.GetVersion(),
		Builder: toSchema(m.GetBuilder()), Tester: toSchema(m.GetTester()),
	}
}

func toSchema(m *Schema) *plugins.Schema {
	if m == nil {
		return nil
	}
	s := &plugins.Schema{}
	for _, a := range m.GetAttributes() {
		s.Attributes = append(s.Attributes, plugins.Attribute{
			Name: a.GetName(), Type: a.GetType(), Required: a.GetRequired(), Doc: a.GetDoc(),
		})
	}
	return s
}

// FromConfig returns c as a message.
func FromConfig(c plugins.Config) *Config {
	return &Config{
		Block: c.Block, Port: text(c.Port), Version: text(c.Version), Source: text(c.Source), Stage: text(c.Stage),
		Prefix: text(c.Prefix), Jobs: toInt32(c.Jobs), Facts: fromFacts(c.Facts),
	}
}

// ToConfig is the reverse of [FromConfig].
func ToConfig(m *Config) plugins.Config {
	return plugins.Config{
		Block: m.GetBlock(), Port: m.GetPort(), Version: m.GetVersion(), Source: m.GetSource(), Stage: m.GetStage(),
		Prefix: m.GetPrefix(), Jobs: int(m.GetJobs()), Facts: toFacts(m.GetFacts()),
	}
}

func fromFacts(f workers.Facts) *Facts {
	m := &Facts{
		Uname: text(f.Uname), System: text(f.System), Host: text(f.Host), User: text(f.User), Release: text(f.Release),
		Version: text(f.Version), Machine: text(f.Machine), Shell: text(f.Shell), CodePage: text(f.CodePage),
		Archiver: text(string(f.Archiver)), Cores: toInt32(f.Cores), FreeBytes: f.FreeBytes, Path: text(f.Path),
		ClockOffset: durationpb.New(f.ClockOffset), Server: text(f.Server),
	}
	for _, l := range f.Locales {
		m.Locales = append(m.Locales, text(l))
	}
	if len(f.Tools) > 0 {
		m.Tools = make(map[string]*Tool, len(f.Tools))
	}
	for name, t := range f.Tools {
		m.Tools[text(name)] = &Tool{Path: text(t.Path), Banner: text(t.Banner), Version: text(t.Version)}
	}
	return m
}

func toFacts(m *Facts) workers.Facts {
	f := workers.Facts{
		Uname: m.GetUname(), System: m.GetSystem(), Host: m.GetHost(), User: m.GetUser(), Release: m.GetRelease(),
		Version: m.GetVersion(), Machine: m.GetMachine(), Shell: m.GetShell(), CodePage: m.GetCodePage(),
		Archiver: workers.Archiver(m.GetArchiver()), Locales: m.GetLocales(), Cores: int(m.GetCores()),
		FreeBytes: m.GetFreeBytes(), Path: m.GetPath(), ClockOffset: m.GetClockOffset().AsDuration(), Server: m.GetServer(),
	}
	if len(m.GetTools()) > 0 {
		f.Tools = make(map[string]workers.Tool, len(m.GetTools()))
	}
	for name, t := range m.GetTools() {
		f.Tools[name] = workers.Tool{Path: t.GetPath(), Banner: t.GetBanner(), Version: t.GetVersion()}
	}
	return f
}

func toInt32(n int) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

// FromOutputs returns outputs as a message.
func FromOutputs(outputs []plugins.Output) *BuildResponse {
	m := &BuildResponse{}
	for _, o := range outputs {
		m.Outputs = append(m.Outputs, &Output{Name: text(o.Name), Dir: text(o.Dir)})
	}
	return m
}

// ToOutputs is the reverse of [FromOutputs], not yet validated.
func ToOutputs(m *BuildResponse) []plugins.Output {
	var outputs []plugins.Output
	for _, o := range m.GetOutputs() {
		outputs = append(outputs, plugins.Output{Name: o.GetName(), Dir: o.GetDir()})
	}
	return outputs
}

// FromCases returns cases as messages.
func FromCases(cases []plugins.Case) []*Case {
	m := make([]*Case, len(cases))
	for i, c := range cases {
		m[i] = &Case{Name: text(c.Name), Outcome: text(string(c.Outcome)), Detail: text(c.Detail)}
	}
	return m
}

// ToCases is the reverse of [FromCases], not yet validated.
func ToCases(m []*Case) []plugins.Case {
	cases := make([]plugins.Case, len(m))
	for i, c := range m {
		cases[i] = plugins.Case{Name: c.GetName(), Outcome: plugins.Outcome(c.GetOutcome()), Detail: c.GetDetail()}
	}
	return cases
}

func fromStep(s workers.Step) *Step {
	m := &Step{Name: text(s.Name), Script: []byte(s.Script), Dir: []byte(s.Dir), Umask: uint32(s.Umask.Perm()), Limit: durationpb.New(s.Limit)}
	if len(s.Env) > 0 {
		m.Env = make(map[string][]byte, len(s.Env))
	}
	for name, value := range s.Env {
		m.Env[text(name)] = []byte(value)
	}
	return m
}

// toStep checks what the farm relies on, because a plugin's step is not
// trusted.
func toStep(m *Step) (workers.Step, error) {
	s := workers.Step{Name: m.GetName(), Script: string(m.GetScript()), Dir: string(m.GetDir()), Umask: fs.FileMode(m.GetUmask())}
	if !workers.ValidID(s.Name) {
		return s, invalid("step name %q", plugins.Line(s.Name, 100))
	}
	if strings.ContainsRune(s.Script, 0) {
		return s, invalid("script of step %s: has a NUL in it", s.Name)
	}
	if _, err := workers.CleanName(s.Dir); err != nil {
		return s, fmt.Errorf("folder of step %s: %w", s.Name, err)
	}
	if m.GetUmask() > 0o777 {
		return s, invalid("umask %o of step %s", m.GetUmask(), s.Name)
	}
	if d := m.GetLimit(); d != nil {
		if d.CheckValid() != nil || d.AsDuration() < 0 {
			return s, invalid("limit of step %s", s.Name)
		}
		s.Limit = d.AsDuration()
	}
	if len(m.GetEnv()) > 0 {
		s.Env = make(map[string]string, len(m.GetEnv()))
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetEnv())) {
		value := m.GetEnv()[name]
		if !workers.ValidEnvName(name) {
			return s, invalid("variable %q of step %s", plugins.Line(name, 100), s.Name)
		}
		if strings.IndexByte(string(value), 0) >= 0 {
			return s, invalid("variable %s of step %s: has a NUL in it", name, s.Name)
		}
		s.Env[name] = string(value)
	}
	return s, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, fs.ErrInvalid)...)
}

func fromStatus(s workers.Status) *StepStatus {
	m := &StepStatus{Code: toInt32(s.Code), Took: durationpb.New(s.Took)}
	for state, name := range states() {
		if s.State == name {
			m.State = state
		}
	}
	return m
}

// toStatus refuses a state or exit status that no step has.
func toStatus(m *StepStatus) (workers.Status, error) {
	name, ok := states()[m.GetState()]
	if !ok || m.GetCode() < 0 || m.GetCode() > 255 {
		return workers.Status{}, invalid("status %d, %d of a step", m.GetState(), m.GetCode())
	}
	return workers.Status{State: name, Code: int(m.GetCode()), Took: max(0, m.GetTook().AsDuration())}, nil
}

func states() map[State]workers.State {
	return map[State]workers.State{
		State_STATE_EXITED:    workers.Exited,
		State_STATE_LIMIT:     workers.Limit,
		State_STATE_LEASE:     workers.Lease,
		State_STATE_STOPPED:   workers.Stopped,
		State_STATE_LOG_LIMIT: workers.LogLimit,
	}
}

func fromEntry(e workers.Entry) *Entry {
	m := &Entry{Name: []byte(e.Name), Size: e.Size, Mode: unixMode(e.Mode)}
	if !e.ModTime.IsZero() {
		m.ModTime = timestamppb.New(e.ModTime)
	}
	return m
}

func toEntry(m *Entry) workers.Entry {
	e := workers.Entry{Name: string(m.GetName()), Size: m.GetSize(), Mode: goMode(m.GetMode())}
	if t := m.GetModTime(); t != nil {
		e.ModTime = t.AsTime()
	}
	return e
}

// modeBit pairs a bit of Go's modes with one of st_mode.
type modeBit struct {
	mode fs.FileMode
	unix uint32
}

// fileTypes are values of the field 0170000, not single bits.
func fileTypes() []modeBit {
	return []modeBit{
		{fs.ModeDir, 0o040000}, {fs.ModeSymlink, 0o120000}, {fs.ModeNamedPipe, 0o010000},
		{fs.ModeSocket, 0o140000}, {fs.ModeDevice | fs.ModeCharDevice, 0o020000}, {fs.ModeDevice, 0o060000}, {0, 0o100000},
	}
}

func specialBits() []modeBit {
	return []modeBit{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}}
}

func unixMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for _, t := range fileTypes() {
		if mode.Type() == t.mode {
			bits |= t.unix
		}
	}
	for _, b := range specialBits() {
		if mode&b.mode != 0 {
			bits |= b.unix
		}
	}
	return bits
}

func goMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	known := bits&0o170000 == 0
	for _, t := range fileTypes() {
		if bits&0o170000 == t.unix {
			mode |= t.mode
			known = true
		}
	}
	if !known {
		mode |= fs.ModeIrregular
	}
	for _, b := range specialBits() {
		if bits&b.unix != 0 {
			mode |= b.mode
		}
	}
	return mode
}

// FromComplaints returns complaints as messages.
func FromComplaints(complaints []plugins.Complaint) []*Complaint {
	var m []*Complaint
	for _, c := range complaints {
		m = append(m, &Complaint{Attribute: text(c.Attribute), Message: text(c.Message)})
	}
	return m
}

// ToComplaints returns the complaints of a plugin: at most
// plugins.MaxComplaints, safe to show.
func ToComplaints(m []*Complaint) []plugins.Complaint {
	var complaints []plugins.Complaint
	for _, c := range m[:min(len(m), plugins.MaxComplaints)] {
		complaints = append(complaints, plugins.Complaint{
			Attribute: plugins.Line(c.GetAttribute(), 64), Message: plugins.Line(c.GetMessage(), plugins.MaxName),
		})
	}
	return complaints
}
