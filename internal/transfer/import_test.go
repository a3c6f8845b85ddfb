package transfer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

var now = time.UnixMilli(1_700_000_000_123).UTC()

const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// A fixture is a store with the tenant t1.
type fixture struct {
	t     *testing.T
	store *store.Store
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t, storetest.Open(t, storetest.Database(t), store.Open)}
	f.update("t1", func(tx *store.Tx) error {
		s := api.DefaultAuthenticatorSettings("Acme")
		s.Active, s.MaxAuthenticators = true, 3
		_, err := tx.EnsureTenant(s, now)
		return err
	})
	return f
}

func (f *fixture) update(tenant string, fn func(*store.Tx) error) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), tenant, fn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) tenant(id string) store.Tenant {
	f.t.Helper()
	tenant, found, err := f.store.Tenant(f.t.Context(), id)
	if err != nil || !found {
		f.t.Fatalf("tenant %s: %v, %v", id, found, err)
	}
	return tenant
}

// run imports a file; bad are the lines that cannot be imported.
func (f *fixture) run(file string, o ImportOptions) (r ImportResult, bad []string, err error) {
	f.t.Helper()
	o.Now = func() time.Time { return now }
	o.Bad = func(line int, reason string) { bad = append(bad, fmt.Sprintf("%d: %s", line, reason)) }
	r, err = Import(f.t.Context(), f.store, f.tenant("t1"), strings.NewReader(file), o)
	return r, bad, err
}

// imports is run for a file without bad lines.
func (f *fixture) imports(file string) ImportResult {
	f.t.Helper()
	r, bad, err := f.run(file, ImportOptions{})
	if err != nil || len(bad) > 0 {
		f.t.Fatalf("got %v, %q", err, bad)
	}
	return r
}

func (f *fixture) user(id string) (u store.User, list []store.Authenticator) {
	f.t.Helper()
	err := f.store.View(f.t.Context(), "t1", func(tx *store.Tx) (err error) {
		if u, _, err = tx.User(id); err != nil {
			return err
		}
		list, err = tx.Authenticators(id)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return u, list
}

// accepts reports whether a code of a step is accepted at now.
func (f *fixture) accepts(userID string, step int64) bool {
	f.t.Helper()
	accepted := false
	f.update("t1", func(tx *store.Tx) error {
		if _, _, err := tx.LockUser(userID); err != nil {
			return err
		}
		list, err := tx.Authenticators(userID)
		if err != nil || len(list) != 1 {
			f.t.Fatalf("user %s has %d authenticators: %v", userID, len(list), err)
		}
		text, err := tx.Secret(list[0])
		if err != nil {
			return err
		}
		code, err := totp.Code(text, step, list[0].Parameters)
		if err != nil {
			return err
		}
		matched, verdict, err := totp.Match(code, text, list[0].Parameters, now, 1, list[0].LastStep)
		if err != nil || verdict != totp.Matched {
			return err
		}
		accepted = true
		return tx.AcceptStep(list[0], matched, now)
	})
	return accepted
}

func TestImportOfEveryColumn(t *testing.T) {
	t.Parallel()
	created := time.Date(2022, 5, 1, 10, 0, 0, 0, time.UTC)
	used := now.Add(-time.Hour).Truncate(time.Second)
	for name, file := range map[string]string{
		"CSV": "userId,secret,algorithm,digits,period,lastUsedAt,createdAt,email,phoneNumber,username,displayName\n" +
			"jane,gezd gnbv gy3t qojq gezd gnbv gy3t qojq,sha-256,8,60.0," + used.Format(time.RFC3339) + ",2022-05-01 10:00:00,j@e.org,+1234,jane.doe,\"Doe, Jane\"\n",
		"CSV with a byte order mark, semicolons and other names": "\ufeffUSER_ID;URI;last_use;created;E-Mail;Phone;User Name;Name\r\n" +
			"jane;otpauth://TOTP/x?secret=" + secret + "&algorithm=HmacSHA256&digits=8&period=60;" + fmt.Sprint(used.Unix()) + ";2022-05-01 10:00:00+00;j@e.org;+1234;jane.doe;Doe, Jane\r\n",
		"JSON lines": "\n" + `{"userId":"jane","secret":"` + secret + `","algorithm":"SHA256","digits":8,"period":60,"lastUsedAt":` + fmt.Sprint(used.UnixMilli()) +
			`,"lastStep":null,"createdAt":"2022-05-01T10:00:00Z","email":"j@e.org","phone":"+1234","username":"jane.doe","displayName":"Doe, Jane"}` + "\n\n",
	} {
		f := newFixture(t)
		if got, want := f.imports(strings.TrimPrefix(file, "\n")), (ImportResult{Lines: 1, Added: 1, Users: 1}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		u, list := f.user("jane")
		if u.Email != "j@e.org" || u.PhoneNumber != "+1234" || u.Username != "jane.doe" || u.DisplayName != "Doe, Jane" || u.EmailVerified || !u.CreatedAt.Equal(created) {
			t.Errorf("%s: got %+v", name, u)
		}
		if len(list) != 1 {
			t.Fatalf("%s: got %d authenticators", name, len(list))
		}
		a := list[0]
		if a.Parameters != (totp.Parameters{Algorithm: totp.SHA256, Digits: 8, Period: 60}) || !a.CreatedAt.Equal(created) || !a.VerifiedAt.Equal(created) ||
			!a.LastVerifiedAt.Equal(used) || a.LastStep != used.Unix()/60+1 || a.Failures != 0 {
			t.Errorf("%s: got %+v", name, a)
		}
		if !f.accepts("jane", a.Step(now)) || f.accepts("jane", a.Step(now)) {
			t.Errorf("%s: the present code must be accepted once", name)
		}
	}
}

// A code that the other system has accepted is refused here.
func TestImportKnowsTheLastUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	step := totp.DefaultParameters.Step(now)
	f.imports(fmt.Sprintf("userId,secret,lastStep,lastUsedAt\nstep,%s,%d,\ntime,%s,,%s\nnone,%s,,\n", secret, step, secret, now.Format(time.RFC3339), secret))
	for user, want := range map[string][3]bool{"step": {false, false, true}, "time": {false, false, false}, "none": {true, true, true}} {
		var got [3]bool
		for i := range got {
			got[i] = f.accepts(user, step-1+int64(i))
		}
		if got != want {
			t.Errorf("%s: the codes of the steps before, now and after: got %v, want %v", user, got, want)
		}
	}
	// A later use is taken from a later import, an earlier one is not.
	r := f.imports(fmt.Sprintf("userId,secret,lastStep\nstep,%s,%d\nstep,%s,5\n", secret, step+2, secret))
	if want := (ImportResult{Lines: 2, Known: 2, Spent: 1}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if _, list := f.user("step"); list[0].LastStep != step+2 {
		t.Errorf("got %d, want %d", list[0].LastStep, step+2)
	}
}

const weak = "GEZDGNBVGY3TQOJQ"

// Each bad line is named, with what is wrong and without its values, and nothing
// is imported unless bad lines are to be left out.
func TestImportNamesBadLines(t *testing.T) {
	t.Parallel()
	lines := []struct{ line, want string }{
		{"good," + secret + ",,,", ""},
		{"," + secret + ",,,", "userId must be 1 to 256 characters"},
		{"u3,,,,", "neither a secret nor a uri"},
		{"u4,GEZDGNB1,,,", "secret is not base32"},
		{"u5,GEZDGNBV,,,", "the secret must have 80 to 1280 bits"},
		{"u6,otpauth://hotp/x?secret=" + secret + ",,,", "hotp"},
		{"u7,otpauth://totp/x?secret=" + secret + "&algo=SHA256,,,", "the parameter algo"},
		{"u8,otpauth://totp/x?secret=" + secret + ",8,,", "must be in the uri"},
		{"u9," + secret + ",9,,", "digits must be 6 to 8"},
		{"u10," + secret + ",six,,", "digits is not a whole number"},
		{"u11," + secret + ",,5,", "the period must be 10 to 300 seconds"},
		{"u12," + secret + ",,,yesterday", "lastUsedAt must be a time"},
		{"u13," + secret + ",,,2099-01-01", "lastUsedAt is in the future"},
		{"u14," + secret, "it has 2 fields, and the header 5"},
		{"u15,\"" + secret + "\"x,,,", "it is not CSV"},
		{"u\x0116," + secret + ",,,", "userId must be"},
		{"u17\xff," + secret + ",,,", "not UTF-8"},
		{"weak," + weak + ",,,", ""},
		{"good," + strings.ToLower(secret) + "====,,,", ""}, // the same as the first
	}
	file := "userId,secret,digits,period,lastUsedAt\n"
	var want []string
	for i, l := range lines {
		file += l.line + "\n"
		if l.want != "" {
			want = append(want, fmt.Sprintf("%d: %s", i+2, l.want))
		}
	}
	f := newFixture(t)
	check := func(bad []string) {
		t.Helper()
		if len(bad) != len(want) {
			t.Fatalf("got %q", bad)
		}
		for i, w := range want {
			line, reason, _ := strings.Cut(w, ": ")
			if !strings.HasPrefix(bad[i], line+": ") || !strings.Contains(bad[i], reason) {
				t.Errorf("got %q, want %q", bad[i], w)
			}
			if strings.Contains(strings.ToUpper(bad[i]), "GEZD") {
				t.Errorf("a value is quoted: %q", bad[i])
			}
		}
	}
	r, bad, err := f.run(file, ImportOptions{})
	check(bad)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d of %d lines cannot be imported; nothing was imported", len(want), len(lines))) {
		t.Errorf("got %v", err)
	}
	if _, list := f.user("good"); len(list) != 0 {
		t.Error("something was imported")
	}
	all := ImportResult{Lines: len(lines), Bad: len(want), Added: 2, Known: 1, Users: 2, Weak: 1}
	if r != all {
		t.Errorf("got %+v, want %+v", r, all)
	}
	r, bad, err = f.run(file, ImportOptions{SkipBad: true, DryRun: true})
	check(bad)
	if _, list := f.user("good"); r != all || err != nil || len(list) != 0 {
		t.Errorf("a dry run: got %+v, %v, and %d authenticators", r, err, len(list))
	}
	r, bad, err = f.run(file, ImportOptions{SkipBad: true})
	check(bad)
	if _, list := f.user("good"); r != all || err != nil || len(list) != 1 {
		t.Errorf("got %+v, %v, and %d authenticators", r, err, len(list))
	}
}

func TestImportRefusesFilesThatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for file, want := range map[string]string{
		"":                                "the file is empty",
		secret + ",jane\n":                "a name that is not shown is not a column",
		"userId,secret,hash\n":            `"hash" is not a column`,
		"userId,secret,user_id\n":         "userId is there twice",
		"userId,\"secret\n":               "it is not CSV",
		"userId,secret\nx," + secret + "": "",
	} {
		_, _, err := f.run(file, ImportOptions{DryRun: true})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%q: got %v, want %q", file, err, want)
		}
	}
	for line, want := range map[string]string{
		`{"userId":"a","secret":"` + secret + `","secret":"` + secret + `"}`: "secret is given twice",
		`{"userId":"a","user":"b","secret":"` + secret + `"}`:                "userId is given twice",
		`{"userId":"a","secret":"` + secret + `","algo":"x"}`:                `"algo" is not a column`,
		`{"userId":"a","secret":["` + secret + `"]}`:                         "secret must be a text or a number",
		`{"userId":"a","secret":"` + secret + `"`:                            "not a JSON object",
		`{"userId":"a","secret":"` + secret + `"} {}`:                        "more than one JSON value",
		`{"userId":"a\u0000","secret":"` + secret + `"}`:                     "userId must be",
		`{"userId":"a","email":"\u0000","secret":"` + secret + `"}`:          "NUL",
	} {
		_, bad, err := f.run(line, ImportOptions{DryRun: true})
		if err == nil || len(bad) != 1 || !strings.Contains(bad[0], want) || strings.Contains(bad[0], "GEZD") {
			t.Errorf("%q: got %q, %v, want %q", line, bad, err, want)
		}
	}
}

// An import beside what a tenant has: users and authenticators are kept, a limit
// of a user is a bad line, and a dry run finds what the import will.
func TestImportIntoATenantWithUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.update("t1", func(tx *store.Tx) error {
		u, err := tx.EnsureUser("old", now)
		if err != nil {
			return err
		}
		u.Email = "kept@example.com"
		if err := tx.PutUser(u); err != nil {
			return err
		}
		_, err = mfa.Import(tx, f.tenant("t1"), mfa.Imported{
			Authenticator: store.Authenticator{UserID: "old", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters}, Secret: secret,
		}, now)
		return err
	})
	other := func(n int) string { return strings.Repeat(string("ABCDEFGH"[n]), 32) }
	file := "userId,secret,email\nold," + secret + ",new@example.com\n"
	for n := range 3 {
		file += "old," + other(n) + ",\nnew," + other(n) + ",\n"
	}
	file += "new," + other(3) + ",\n"
	for _, o := range []ImportOptions{{SkipBad: true, DryRun: true}, {SkipBad: true}} {
		r, bad, err := f.run(file, o)
		want := ImportResult{Lines: 8, Bad: 2, Known: 1, Added: 5, Users: 1}
		if r != want || err != nil || len(bad) != 2 || !strings.HasPrefix(bad[0], "7: The user has as many") || !strings.HasPrefix(bad[1], "9: ") {
			t.Errorf("%+v: got %+v, %v, %q, want %+v", o, r, err, bad, want)
		}
	}
	for _, id := range []string{"old", "new"} {
		if _, list := f.user(id); len(list) != 3 {
			t.Errorf("%s has %d authenticators", id, len(list))
		}
	}
	if u, _ := f.user("old"); u.Email != "kept@example.com" {
		t.Errorf("got %+v", u)
	}
	// The audit log has each that was added, and by whom.
	kinds := map[store.AuditKind]int{}
	err := f.store.View(t.Context(), "t1", func(tx *store.Tx) error {
		list, err := tx.AuditEvents("", 100)
		for _, e := range list {
			if e.Detail["by"] == "operator" && e.Detail["imported"] == true {
				kinds[e.Kind]++
			}
		}
		return err
	})
	if err != nil || !maps.Equal(kinds, map[store.AuditKind]int{store.AuditEnrollmentCompleted: 5}) {
		t.Errorf("the audit log: %v, %v", kinds, err)
	}
}

// More lines than a batch: an import that was interrupted after some batches goes
// on, and each user has one authenticator.
func TestImportIsResumed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var file strings.Builder
	file.WriteString("userId,secret\n")
	const users = 2*store.ImportBatch + 500
	for n := range users {
		fmt.Fprintf(&file, "user-%04d,%s%s\n", n, secret[:28], strings.NewReplacer("0", "A", "1", "B", "8", "C", "9", "D").Replace(fmt.Sprintf("%04d", n)))
	}
	all := file.String()
	lines := strings.SplitAfterN(all, "\n", store.ImportBatch+202)
	if got := f.imports(strings.Join(lines[:store.ImportBatch+201], "")); got.Added != store.ImportBatch+200 {
		t.Fatalf("got %+v", got)
	}
	if got, want := f.imports(all), (ImportResult{Lines: users, Known: store.ImportBatch + 200, Added: users - store.ImportBatch - 200, Users: users - store.ImportBatch - 200}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := f.imports(all), (ImportResult{Lines: users, Known: users}); got != want {
		t.Errorf("once more: got %+v, want %+v", got, want)
	}
}

func TestImportIntoADeletedTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tenant := f.tenant("t1")
	f.update("t1", func(tx *store.Tx) error {
		_, err := tx.DeleteTenant(now)
		return err
	})
	_, err := Import(t.Context(), f.store, tenant, strings.NewReader("userId,secret\njane,"+secret), ImportOptions{
		Now: func() time.Time { return now }, Bad: func(int, string) {},
	})
	if err == nil || !strings.Contains(err.Error(), "the tenant was deleted") {
		t.Errorf("got %v", err)
	}
}

// What is read from any file has no key that gives no code, and no error quotes a
// value.
func FuzzRecords(f *testing.F) {
	f.Add("userId,secret\njane," + secret + "\n")
	f.Add("user;uri;last use\r\njane;otpauth://TOTP/x?secret=" + secret + ";2024-01-01\r\n")
	f.Add(`{"userId":"jane","secret":"` + secret + `","digits":8}`)
	f.Add("userId,secret\n\"a\nb\",x\n\"")
	f.Fuzz(func(t *testing.T, file string) {
		last := 0
		records(strings.NewReader(file), func(rec record) error {
			if rec.line < last {
				t.Fatalf("line %d after %d", rec.line, last)
			}
			last = rec.line
			err := rec.err
			var r mfa.ImportRow
			if err == nil {
				r, err = row(rec.values, now)
			}
			if err == nil {
				if _, err := totp.Code(r.Key.Secret, 1, r.Key.Parameters); err != nil {
					t.Fatalf("a key that gives no code: %v", err)
				}
				return nil
			}
			if s := slices.MaxFunc([]string{rec.values["secret"], rec.values["uri"]}, func(a, b string) int { return len(a) - len(b) }); len(s) > 60 && strings.Contains(err.Error(), s) {
				t.Fatalf("the error quotes a value: %v", err)
			}
			return nil
		})
	})
}

// A tenant that refuses or folds ids that look alike does so with imported ones.
func TestImportOfIDsThatLookAlike(t *testing.T) {
	t.Parallel()
	const head = "userId,secret\n"
	f := newFixture(t)
	f.imports(head + "jane," + secret + "\n")
	set := func(mode api.UserIDs) {
		f.update("t1", func(tx *store.Tx) error {
			_, _, err := tx.SetUserIDs(mode)
			return err
		})
	}
	set(api.UserIDsRefuse)
	file := head + "JANE," + secret + "\nbob," + secret + "\nBOB," + secret + "\njane," + secret + "\n"
	r, bad, err := f.run(file, ImportOptions{SkipBad: true})
	// Users are created in the order of their ids, in which BOB comes before bob.
	if err != nil || len(bad) != 2 || !strings.HasPrefix(bad[0], "2: ") || !strings.HasPrefix(bad[1], "3: ") || !strings.Contains(bad[0], "userIds") {
		t.Errorf("refuse: got %+v, %q, %v", r, bad, err)
	}
	f.update("t1", func(tx *store.Tx) error { return tx.DeleteUser("BOB") })
	set(api.UserIDsFold)
	f.imports(head + "Carol," + secret + "\nCAROL ," + secret + "\n")
	if _, list := f.user("carol"); len(list) != 1 {
		t.Errorf("fold: got %d authenticators", len(list))
	}
}
