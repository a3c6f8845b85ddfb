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

// A sealer encrypts secrets with AES-256-GCM (NIST SP 800-38D). A random 96-bit
// nonce precedes each ciphertext; one key may seal 2^32 times.
type sealer struct {
	// id is that of the key that seals; it is stored beside each ciphertext.
	id   string
	aead map[string]cipher.AEAD // by id: also those that only open
}

// newSealer returns a sealer with keys, of which the first one seals.
func newSealer(keys [][]byte) (*sealer, error) {
	s := &sealer{aead: map[string]cipher.AEAD{}}
	for _, key := range keys {
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
		id := keyID(key)
		s.aead[id] = aead
		if s.id == "" {
			s.id = id
		}
	}
	if s.id == "" {
		return nil, errors.New("there is no encryption key")
	}
	return s, nil
}

// keyID identifies a key without revealing anything of it.
func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("authsignal-server key id\x00"), key...))
	return hex.EncodeToString(sum[:8])
}

func (s *sealer) seal(plain string, binding []byte) []byte {
	return s.aead[s.id].Seal(nil, nil, []byte(plain), binding)
}

func (s *sealer) open(keyID string, sealed, binding []byte) (string, error) {
	aead, ok := s.aead[keyID]
	if !ok {
		return "", fmt.Errorf("a secret was sealed with the key %s, which is not given", keyID)
	}
	plain, err := aead.Open(nil, nil, sealed, binding)
	if err != nil {
		return "", errors.New("a sealed secret does not open: the row was changed or belongs elsewhere")
	}
	return string(plain), nil
}

// bind returns the associated data that ties a ciphertext to its row, so that a
// secret copied to another user's row does not open. Each part has its length
// before it: ("ab", "c") must differ from ("a", "bc").
func bind(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}
