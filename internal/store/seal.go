package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeySize is the length of an encryption key in bytes: AES-256.
const KeySize = 32

// A sealer encrypts secrets with AES-256-GCM (NIST SP 800-38D). A random
// 96-bit nonce stands before each ciphertext; one key is good for 2^32 seals.
type sealer struct {
	// id names the key without telling anything of it.
	id   string
	aead cipher.AEAD
}

func newSealer(key []byte) (*sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the encryption key has %d bytes, it must have %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	sum := sha256.Sum256(append([]byte("authsignal-server key id\x00"), key...))
	return &sealer{id: hex.EncodeToString(sum[:8]), aead: aead}, nil
}

func (s *sealer) seal(plain string, binding []byte) []byte {
	return s.aead.Seal(nil, nil, []byte(plain), binding)
}

func (s *sealer) open(sealed, binding []byte) (string, error) {
	plain, err := s.aead.Open(nil, nil, sealed, binding)
	if err != nil {
		return "", errors.New("a sealed secret does not open: the row was changed or belongs elsewhere")
	}
	return string(plain), nil
}

// bind makes the associated data that ties a ciphertext to its row, so that a
// secret copied to another user's row does not open. Each part goes in with
// its length: ("ab", "c") must differ from ("a", "bc").
func bind(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}
