package store

import (
	"fmt"
	"strings"
	"time"
)

// An EnrollmentQuery asks how many users an enrollment policy would stop.
type EnrollmentQuery struct {
	// Since is from when on an action of a user counts: one of Action, if that is set,
	// and none of Except.
	Since  time.Time
	Action string
	Except []string
	// Now and Later are two times. Users are counted whose first sign-in was not after
	// them.
	Now, Later time.Time
}

// EnrollmentCounts are numbers of users.
type EnrollmentCounts struct {
	// Active users have an action that counts. Without are those of them without a
	// verified authenticator, Now and Later those of Without whose first sign-in was
	// not after the times of the query.
	Active, Without, Now, Later int64
	// Sampled reports whether the numbers are estimated from a sample of the users.
	Sampled bool
}

// EnrollmentSample is how many users CountEnrollments looks at: all, or about so many of
// more. An estimate from 50,000 is off by less than 0.7 percent of the active users in
// 99 of 100 samples.
const EnrollmentSample = 50_000

// CountEnrollments counts users for an EnrollmentQuery. Of a tenant with many users it
// looks up the actions and authenticators of a random part: those whose incarnation, a
// random UUID, is below a bound.
func (t *Tx) CountEnrollments(q EnrollmentQuery) (c EnrollmentCounts, err error) {
	return t.countEnrollments(q, EnrollmentSample)
}

func (t *Tx) countEnrollments(q EnrollmentQuery, sample int64) (c EnrollmentCounts, err error) {
	const parts = 1 << 16 // four hexadecimal digits
	var users int64
	if err := t.queryRow(usersOfTenant, t.tenant).Scan(&users); err != nil {
		return EnrollmentCounts{}, fmt.Errorf("count users: %w", err)
	}
	part := int64(parts)
	if users > sample {
		c.Sampled, part = true, max(1, sample*parts/users)
	}
	query, args := t.enrollmentQuery(q, part, parts)
	if err := t.queryRow(query, args...).Scan(&c.Active, &c.Without, &c.Now, &c.Later); err != nil {
		return EnrollmentCounts{}, fmt.Errorf("count users: %w", err)
	}
	for _, n := range []*int64{&c.Active, &c.Without, &c.Now, &c.Later} {
		*n = min(users, (*n*parts+part/2)/part)
	}
	return c, nil
}

const usersOfTenant = `SELECT COUNT(*) FROM users WHERE tenant_id = ?`

// enrollmentQuery is the query for a part of all parts of the users.
func (t *Tx) enrollmentQuery(q EnrollmentQuery, part, parts int64) (string, []any) {
	sampled, which, args := "", "", []any{t.tenant}
	if part < parts {
		sampled, args = ` AND incarnation`+t.dialect.binary+` < ?`, append(args, fmt.Sprintf("%04x", part))
	}
	args = append(args, millis(q.Since))
	if q.Action != "" {
		which, args = ` AND action = ?`, append(args, q.Action)
	}
	if len(q.Except) > 0 {
		which += ` AND action NOT IN (?` + strings.Repeat(`, ?`, len(q.Except)-1) + `)`
		for _, action := range q.Except {
			args = append(args, action)
		}
	}
	// With joins, the planners may read all actions, which are many more than users.
	// Materialized, the rows are found once and not for each sum.
	return `
		WITH active AS MATERIALIZED (
			SELECT CASE WHEN first_tracked_at = 0 THEN created_at ELSE first_tracked_at END AS first, COALESCE((
				SELECT 0 FROM authenticators a
				WHERE a.tenant_id = users.tenant_id AND a.user_id = users.user_id AND a.verified_at IS NOT NULL LIMIT 1), 1) AS without
			FROM users WHERE tenant_id = ?` + sampled + ` AND first_tracked_at IS NOT NULL AND COALESCE((
				SELECT 1 FROM actions a
				WHERE a.tenant_id = users.tenant_id AND a.user_id = users.user_id AND a.created_at >= ?` + which + ` LIMIT 1), 0) = 1)
		SELECT COUNT(*), COALESCE(SUM(without), 0), COALESCE(SUM(CASE WHEN first <= ? THEN without END), 0), COALESCE(SUM(CASE WHEN first <= ? THEN without END), 0)
		FROM active`, append(args, millis(q.Now), millis(q.Later))
}
