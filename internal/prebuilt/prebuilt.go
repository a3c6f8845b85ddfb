// Package prebuilt is the pre-built UI: the pages behind the url of a tracked
// action, where users enroll and answer challenges without a page of the
// tenant's own.
package prebuilt

import (
	"fmt"
	"net/http"
)

// Pages gives the handlers of the pre-built UI by ServeMux pattern.
func Pages() map[string]http.Handler {
	return map[string]http.Handler{"GET /{$}": http.HandlerFunc(page)}
}

// page answers the url of a tracked action, until there is more. It says
// nothing of the token in its query.
func page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotImplemented)
	fmt.Fprint(w, `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Not available yet</title></head>
<body>
<h1>Not available yet</h1>
<p>This server has no pre-built pages yet. Use the browser SDK with the token of the tracked action.</p>
</body>
</html>
`)
}
