// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// certify writes a certificate of its own kind, with its key.
func certify(t *testing.T, names TLSFiles, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	stamp := time.Now().Add(time.Duration(serial) * time.Minute)
	for name, block := range map[string]*pem.Block{names.Cert: {Type: "CERTIFICATE", Bytes: der}, names.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	names := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	cert := certify(t, names, 1)
	f := newFarm()
	o := f.options()
	o.TLS = &names
	base, _ := serve(t, o)
	base = strings.Replace(base, "http:", "https:", 1)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport}
	secret := f.token("ro", wire.Reader)
	if _, err := client.New(base, secret, hc).Builds(t.Context(), wire.BuildsInput{}); err != nil {
		t.Fatal(err)
	}
	resp, err := hc.Get(base + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.TLS.Version < tls.VersionTLS12 {
		t.Errorf("it is %s over TLS %x", resp.Proto, resp.TLS.Version)
	}
	old, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err == nil {
		_ = old.Close()
		t.Error("TLS 1.1 was accepted")
	}
	// Over HTTP/2 as well, a log is followed to its end.
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	f.write(a, "log")
	go f.end(a)
	if at, err := client.New(base, secret, hc).FollowLog(t.Context(), a, "make", 0, &lockedBuffer{}); at != 3 || err != nil {
		t.Errorf("%d, %v", at, err)
	}
}

// TestCertificateIsRenewed: changed files are reloaded, and half a pair leaves the
// previous certificate in place.
func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	names := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	certify(t, names, 1)
	j := &journal{}
	f, err := loadFiles(names, j.logger())
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		f.checked = time.Time{}
		c, err := f.certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	certify(t, names, 2)
	if have := serial(); have != 2 {
		t.Errorf("certificate %d serves", have)
	}
	certify(t, TLSFiles{Cert: names.Cert, Key: filepath.Join(dir, "other.pem")}, 3)
	if have := serial(); have != 2 || !strings.Contains(j.String(), "not renewed") {
		t.Errorf("certificate %d serves: %s", have, j)
	}
	certify(t, names, 4)
	if have := serial(); have != 4 {
		t.Errorf("certificate %d serves", have)
	}
	if _, err := loadFiles(TLSFiles{Cert: names.Cert, Key: "/nowhere"}, j.logger()); err == nil {
		t.Error("loaded without a key")
	}
}
