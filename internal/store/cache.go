package store

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// cacheAge is how long an entry is used. A change by this process is seen at
	// once; one by another replica, or by a command beside the server, after this
	// time.
	cacheAge = time.Second
	// cacheSize is the maximum number of entries.
	cacheSize = 10_000
)

// A cache keeps what every request looks up and operators seldom change:
// tenants, the API secrets' tenants, actions' settings and origins. It holds
// nothing about users.
type cache struct {
	mu      sync.RWMutex
	entries map[any]cached
	// generation grows with every clear, so that a value that was read before a
	// change is not kept after it.
	generation atomic.Int64
}

type cached struct {
	value any
	until time.Time
}

// clear empties the cache. It is called after the commit of a change, even if the
// commit failed: it may have reached the database nevertheless.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.generation.Add(1)
}

// lookUp returns the value of a key from the cache, or reads it. It keeps what it
// reads if keep is true and the cache was not cleared since the given generation.
// The caller takes the generation before it reads anything; in a transaction,
// before that begins, since the transaction does not see later changes.
func lookUp[T any](c *cache, generation int64, key any, read func() (value T, keep bool, err error)) (T, error) {
	c.mu.RLock()
	e, found := c.entries[key]
	c.mu.RUnlock()
	if found && time.Now().Before(e.until) {
		return e.value.(T), nil
	}
	until := time.Now().Add(cacheAge)
	value, keep, err := read()
	if err != nil || !keep {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation.Load() != generation {
		return value, nil
	}
	if c.entries == nil || len(c.entries) >= cacheSize {
		c.entries = map[any]cached{}
	}
	c.entries[key] = cached{value, until}
	return value, nil
}

// The keys of the cache.
type (
	tenantKey   string
	secretKey   [sha256.Size]byte
	originKey   [sha256.Size]byte
	settingsKey struct{ tenant, action string }
)
