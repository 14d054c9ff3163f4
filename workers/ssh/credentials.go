// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/zfarm/zfarm/workers"
)

// credentials are what we offer a worker at login.
type credentials struct {
	files []offered
	agent string
}

// offered is one key, with its name for messages.
type offered struct {
	signer ssh.Signer
	name   string
}

func loadCredentials(c Config) (*credentials, error) {
	if len(c.IdentityFiles) == 0 && c.AgentSocket == "" {
		return nil, &failure{fmt.Sprintf("%s@%s: no credentials: name an identity file or the socket of an ssh-agent", c.User, c.Address), []error{workers.ErrAuth}}
	}
	k := &credentials{agent: c.AgentSocket}
	for _, file := range c.IdentityFiles {
		signer, err := loadIdentity(file, c.Passphrase)
		if err != nil {
			return nil, fmt.Errorf("reading identity file %s: %w", file, err)
		}
		certified, err := loadCertificate(file+"-cert.pub", signer)
		if err != nil {
			return nil, err
		}
		if certified != nil {
			k.files = append(k.files, offered{certified, "certificate " + file + "-cert.pub"})
		}
		k.files = append(k.files, offered{signer, "file " + file})
	}
	return k, nil
}

func loadIdentity(file string, passphrase func(string) ([]byte, error)) (ssh.Signer, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var missing *ssh.PassphraseMissingError
	if !errors.As(err, &missing) {
		return signer, err
	}
	if passphrase == nil {
		return nil, errors.New("it is encrypted and there is no passphrase; load it into an ssh-agent instead")
	}
	secret, err := passphrase(file)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return ssh.ParsePrivateKeyWithPassphrase(pem, secret)
}

// loadCertificate returns nil if there is none.
func loadCertificate(file string, signer ssh.Signer) (ssh.Signer, error) {
	line, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s: %w", file, err)
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("reading certificate %s: it is a plain public key; move it away or put the certificate there", file)
	}
	certified, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s: %w", file, err)
	}
	return certified, nil
}

// attempt is the use of the credentials in one handshake.
type attempt struct {
	agentConn net.Conn
	tried     []string
}

func (k *credentials) attempt(ctx context.Context) (*attempt, []ssh.AuthMethod, error) {
	a := &attempt{}
	keys := k.files
	if k.agent != "" {
		fromAgent, err := a.askAgent(ctx, k.agent)
		if err != nil {
			return nil, nil, &failure{fmt.Sprintf("asking ssh-agent at %s: %s", k.agent, clean(err)), []error{workers.ErrAuth, err}}
		}
		keys = append(keys[:len(keys):len(keys)], fromAgent...)
	}
	var signers []ssh.Signer
	for _, key := range keys {
		text := key.signer.PublicKey().Type() + " " + ssh.FingerprintSHA256(key.signer.PublicKey()) + " (" + key.name + ")"
		signers = append(signers, key.signer)
		a.tried = append(a.tried, text)
	}
	return a, []ssh.AuthMethod{ssh.PublicKeys(signers...)}, nil
}

func (a *attempt) askAgent(ctx context.Context, socket string) ([]offered, error) {
	var err error
	if a.agentConn, err = (&net.Dialer{}).DialContext(ctx, "unix", socket); err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := a.agentConn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, a.agentConn.Close())
		}
	}
	signers, err := agent.NewClient(a.agentConn).Signers()
	if err != nil {
		return nil, errors.Join(err, a.agentConn.Close())
	}
	var keys []offered
	for _, s := range signers {
		keys = append(keys, offered{s, "agent"})
	}
	return keys, nil
}

func (a *attempt) close() {
	if a.agentConn != nil {
		a.agentConn.Close()
	}
}

// refused is the error of a login that failed after the host key was accepted.
func (a *attempt) refused(user, address string, err error) error {
	tried := "no key: the agent has none"
	if len(a.tried) > 0 {
		tried = strings.Join(a.tried, ", ")
	}
	return &failure{fmt.Sprintf("%s: worker refused the credentials of %s; tried %s. Put one of these public keys into ~%s/.ssh/authorized_keys there, "+
		"and look whether the account is locked (%s)", address, user, tried, user, clean(err)), []error{workers.ErrAuth, err}}
}
