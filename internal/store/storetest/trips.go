package storetest

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Counted returns the URL of a PostgreSQL database of Database by way of a proxy that
// counts round trips, and the counter: how often the server said that it was ready
// for the next query (PostgreSQL manual, 55.2.3, ReadyForQuery).
func Counted(t testing.TB, database string) (counted string, trips *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal("the database is not a URL")
	}
	query := u.Query()
	server := filepath.Join(query.Get("host"), ".s.PGSQL.5432")
	// The path of a socket is short.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
		os.RemoveAll(dir)
	})
	trips = new(atomic.Int64)
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // it was closed
			}
			wg.Go(func() { proxy(client, server, trips) })
		}
	})
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	return u.String(), trips
}

// proxy connects a client to a server until one of them ends the connection.
func proxy(client net.Conn, address string, trips *atomic.Int64) {
	defer client.Close()
	server, err := net.Dial("unix", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	// A message of the server is a type and a length, which counts itself but not the
	// type, and what follows.
	const readyForQuery = 'Z'
	var header [5]byte
	for {
		if _, err := io.ReadFull(server, header[:]); err != nil {
			return
		}
		if header[0] == readyForQuery {
			trips.Add(1)
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if _, err := client.Write(append(header[:], body...)); err != nil {
			return
		}
	}
}
