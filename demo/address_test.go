package main

import (
	"net"
	"slices"
	"testing"
)

func TestPageOrigins(t *testing.T) {
	for _, tt := range []struct {
		host, at, ip string
		port         int
		want         []string
	}{
		{"127.0.0.1", "127.0.0.1", "127.0.0.1", 3000, []string{"http://127.0.0.1:3000", "http://localhost:3000"}},
		{"localhost", "127.0.0.1", "127.0.0.1", 3000, []string{"http://localhost:3000", "http://127.0.0.1:3000"}},
		{"::1", "::1", "::1", 3000, []string{"http://[::1]:3000", "http://localhost:3000"}},
		{"192.168.1.2", "192.168.1.2", "192.168.1.2", 80, []string{"http://192.168.1.2", "http://box", "http://box.local"}},
		{"Box.lan", "192.168.1.2", "192.168.1.2", 80, []string{"http://box.lan", "http://192.168.1.2", "http://box", "http://box.local"}},
		{"box", "192.168.1.2", "192.168.1.2", 80, []string{"http://box", "http://192.168.1.2", "http://box.local"}},
		{"0.0.0.0", "0.0.0.0", "192.168.1.2", 8080, []string{
			"http://192.168.1.2:8080", "http://box:8080", "http://box.local:8080", "http://127.0.0.1:8080", "http://localhost:8080",
		}},
		{"", "::", "fd00::2", 8080, []string{
			"http://[fd00::2]:8080", "http://box:8080", "http://box.local:8080", "http://127.0.0.1:8080", "http://localhost:8080",
		}},
	} {
		got := pageOrigins(tt.host, &net.TCPAddr{IP: net.ParseIP(tt.at), Port: tt.port}, net.ParseIP(tt.ip), "Box")
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s at %s: got %v, want %v", tt.host, tt.at, got, tt.want)
		}
	}
	got := pageOrigins("10.0.0.2", &net.TCPAddr{IP: net.ParseIP("10.0.0.2"), Port: 80}, net.ParseIP("10.0.0.2"), "")
	if want := []string{"http://10.0.0.2"}; !slices.Equal(got, want) {
		t.Errorf("without a name: got %v, want %v", got, want)
	}
}
