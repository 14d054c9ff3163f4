// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package keys_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zfarm/zfarm/attest/keys"
)

// terminal opens a pseudo-terminal: the person's side and the tty.
func terminal(t *testing.T) (person, tty *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal can be opened here (%v); mount devpts to let this test run", err)
	}
	person = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("the pseudo-terminal cannot be opened here (%v); mount devpts to let this test run", err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return person, tty
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestPrompt(t *testing.T) {
	person, tty := terminal(t)
	type answer struct {
		password []byte
		err      error
	}
	done := make(chan answer, 1)
	go func() {
		password, err := keys.Password(t.Context(), keys.Prompt(tty, "Password for farm.key? "))
		done <- answer{password, err}
	}()
	r := bufio.NewReader(person)
	if question, err := r.ReadString('?'); err != nil || question != "Password for farm.key?" {
		t.Fatalf("asked %q, %v", question, err)
	}
	for range 1_000_000 { // until the echo is off, as a person waits for the prompt
		if !echoes(t, tty) {
			break
		}
	}
	if _, err := person.WriteString("open sesame\n"); err != nil {
		t.Fatal(err)
	}
	a := <-done
	if a.err != nil || string(a.password) != "open sesame" {
		t.Errorf("password is %q, %v", a.password, a.err)
	}
	if rest, err := r.ReadString('\n'); err != nil || rest != " \r\n" {
		t.Errorf("the terminal shows %q, %v after the question", rest, err)
	}
	if !echoes(t, tty) {
		t.Error("the echo stayed off")
	}
}

func TestPromptCancelled(t *testing.T) {
	person, tty := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := keys.Password(ctx, keys.Prompt(tty, "?"))
		done <- err
	}()
	if _, err := bufio.NewReader(person).ReadString('?'); err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		if !echoes(t, tty) {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if !echoes(t, tty) {
		t.Error("the echo stayed off")
	}
	if _, err := person.WriteString("\n"); err != nil { // lets the read end
		t.Fatal(err)
	}
}
