package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"time"

	"github.com/smallstep/certificates/kms/apiv1"
	"github.com/smallstep/certificates/kms/awskms"
)

// step makes keys with the key manager of step-ca, and signs with them what step-ca signs: a root, an intermediate and
// a leaf certificate. It writes root.pem, intermediate.pem and leaf.pem.
func step(ctx context.Context) {
	manager := must(awskms.New(ctx, apiv1.Options{Type: string(apiv1.AmazonKMS), URI: "awskms:region=us-east-1"}))
	defer manager.Close()
	root := signer(manager, "root", apiv1.SHA256WithRSAPSS, 2048)
	rootTemplate := certificate("Root", true)
	rootTemplate.SignatureAlgorithm = x509.SHA256WithRSAPSS
	rootCertificate := issue(rootTemplate, rootTemplate, root.Public(), root, "root.pem")

	intermediate := signer(manager, "intermediate", apiv1.ECDSAWithSHA384, 0)
	template := certificate("Intermediate", true)
	template.SignatureAlgorithm = x509.SHA256WithRSAPSS
	intermediateCertificate := issue(template, rootCertificate, intermediate.Public(), root, "intermediate.pem")

	leaf := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template = certificate("leaf.example.com", false)
	template.DNSNames = []string{"leaf.example.com"}
	leafCertificate := issue(template, intermediateCertificate, leaf.Public(), intermediate, "leaf.pem")

	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(rootCertificate)
	intermediates.AddCert(intermediateCertificate)
	must(leafCertificate.Verify(x509.VerifyOptions{
		DNSName: "leaf.example.com", Roots: roots, Intermediates: intermediates}))
}

func signer(manager *awskms.KMS, name string, algorithm apiv1.SignatureAlgorithm, bits int) crypto.Signer {
	made := must(manager.CreateKey(&apiv1.CreateKeyRequest{Name: name, SignatureAlgorithm: algorithm, Bits: bits}))
	return must(manager.CreateSigner(&made.CreateSignerRequest))
}

func certificate(name string, authority bool) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: authority, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if authority {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	return template
}

func issue(template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer, name string) *x509.Certificate {
	der := must(x509.CreateCertificate(rand.Reader, template, parent, public, by))
	check(os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	return must(x509.ParseCertificate(der))
}
