/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/tls_files.h"

#include "capture/capture.h"
#include "capture/probes.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <xxhash.h>

#define FILES     WEFT_TLS_FILES
#define LINGER_NS (60 * NS_PER_SEC) /* that a probe outlives its last user */
#define AGAIN_NS  (10 * NS_PER_SEC) /* from a refusal that may pass to the next try */
#define AGAIN     "after 10 s, when the process is looked at"
#define NEW_MAX   128 /* files that one look at a process reads; the next goes on */

struct tls_file {
	uint64_t key; /* 0: free */
	struct probes *probes; /* NULL: no library, or refused */
	bool refused;
	uint64_t again_ns; /* something was short: when to try again; 0: never */
	bool hands; /* it only hands bytes to a library elsewhere */
	bool go; /* a Go program whose own TLS cannot be probed */
	bool rust; /* without a library that can be probed */
	unsigned users;
	uint64_t idle_ns; /* since when it has none */
};

struct tls_files {
	struct capture *capture;
	struct table by_key;
	struct tls_file v[FILES];
	unsigned used, hand;
	unsigned probed;
	uint64_t refusals;
	uint64_t quiet_ns; /* until when nothing is said of files that cannot be opened */
};

int tls_files_new(struct capture *capture, struct tls_files **ret_files)
{
	struct tls_files *t = calloc(1, sizeof(*t));

	if (!t || table_init(&t->by_key, FILES)) {
		free(t);
		return -ENOMEM;
	}
	t->capture = capture;
	*ret_files = t;
	return 0;
}

static void forget(struct tls_files *t, struct tls_file *f)
{
	if (f->probes)
		t->probed--;
	probes_detach(f->probes);
	table_remove(&t->by_key, f->key);
	*f = (struct tls_file){0};
	t->used--;
}

void tls_files_free(struct tls_files *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < FILES; i++)
		if (t->v[i].key)
			forget(t, &t->v[i]);
	table_release(&t->by_key);
	free(t);
}

/* A place for a new file; one that no process has any more gives way. NULL: all have. */
static struct tls_file *place(struct tls_files *t)
{
	for (unsigned i = 0; i < FILES; i++) {
		struct tls_file *f = &t->v[t->hand];

		t->hand = (t->hand + 1) % FILES;
		if (f->key && (t->used < FILES || f->users))
			continue;
		if (f->key)
			forget(t, f);
		t->used++;
		return f;
	}
	return NULL;
}

/*
 * The same for every way to a file. Containers of one image have an overlay each, with a device
 * number of its own, over the same inode; everything else of that is in the key. Should two
 * overlays' files be taken for one although they are not, or the other way round, a library is not
 * probed, or probed twice; in bpf/tls.h a second probe of a function finds nothing to do.
 */
static uint64_t key_of(const char *path, const struct stat *st)
{
	struct statfs fs;
	uint64_t v[] = {st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
		(uint64_t)st->st_ctim.tv_nsec, st->st_dev};

	if (statfs(path, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC)
		v[6] = 0;
	return XXH3_64bits(v, sizeof(v)) | 1;
}

/* For want of something that may be there again. */
static bool is_passing(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

static void refuse(struct tls_files *t, struct tls_file *f, const char *name, const char *library,
	uint32_t pid, int err)
{
	f->refused = true;
	if (is_passing(err))
		f->again_ns = clock_monotonic() + AGAIN_NS;
	t->refusals++;
	log_warn("TLS library cannot be probed: what goes through it is not traced",
		LOG_STR("library", library), LOG_STR("file", name), LOG_INT("pid", pid),
		LOG_STR("why", strerror(-err)), LOG_STR("again", f->again_ns ? AGAIN : "no"));
}

/* What the file is is not known: it cannot be opened now. Said once for all. */
static void put_off(struct tls_files *t, struct tls_file *f, uint32_t pid, int err)
{
	uint64_t now_ns = clock_monotonic();

	f->again_ns = now_ns + AGAIN_NS;
	if (now_ns < t->quiet_ns)
		return;
	t->quiet_ns = f->again_ns;
	log_warn(
		"cannot look for TLS libraries: what goes through those that are new is not traced",
		LOG_INT("pid", pid), LOG_STR("why", strerror(-err)), LOG_STR("again", AGAIN));
}

/* library: whether the process has one that is probed. What hands bytes to one comes after it: a
 * hello that it hands must meet a probe there. */
static void probe(struct tls_files *t, struct tls_file *f, const char *path, const char *name,
	uint32_t pid, bool library)
{
	/* it may have become something else meanwhile, which is not to be waited for */
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct tls_symbols symbols;
	char self[32];
	int err;

	f->refused = false;
	f->again_ns = 0;
	if (fd < 0 && is_passing(-errno))
		put_off(t, f, pid, -errno);
	if (fd < 0 || tls_symbols_find(fd, &symbols))
		return;
	f->go = symbols.go && !symbols.n;
	f->rust = symbols.rust;
	f->hands = symbols.hands;
	if (!symbols.n || (symbols.hands && !library))
		return;
	/* by the descriptor: the path can lead to another file meanwhile */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	err = capture_probe(t->capture, self, (uint32_t)(f - t->v), &symbols, &f->probes);
	if (err) {
		refuse(t, f, name, symbols.library, pid, err);
		return;
	}
	t->probed++;
	log_info("TLS library is probed: what goes through it is traced in clear",
		LOG_STR("library", symbols.library), LOG_STR("file", name), LOG_INT("pid", pid),
		LOG_INT("functions", symbols.n));
}

/* What a line of /proc/PID/maps says. */
struct mapping {
	unsigned long from, to; /* its addresses */
	char *name;
	bool deleted;
};

/* Whether the line is of a file's code. It is changed; what is found points into it. */
static bool read_mapping(char *line, struct mapping *ret)
{
	static const char DELETED[] = " (deleted)";
	char access[5];
	char *name = strchr(line, '/');
	size_t n;

	if (!name || sscanf(line, "%lx-%lx %4s", &ret->from, &ret->to, access) != 3 ||
		access[2] != 'x')
		return false;
	n = strcspn(name, "\n");
	ret->deleted = n >= sizeof(DELETED) - 1 &&
		       memcmp(name + n - (sizeof(DELETED) - 1), DELETED, sizeof(DELETED) - 1) == 0;
	name[ret->deleted ? n - (sizeof(DELETED) - 1) : n] = '\0';
	ret->name = name;
	return true;
}

#define PATH_SIZE (4096 + 32)

/* A way to the file. False: it does not fit. */
static bool path_of(uint32_t pid, const struct mapping *m, char path[static PATH_SIZE])
{
	int n;

	/* What loaded it may have deleted it at once, as Java's libraries do with what they unpack.
	 * The way to it is open to CAP_CHECKPOINT_RESTORE. */
	if (m->deleted)
		n = snprintf(path, PATH_SIZE, "/proc/%u/map_files/%lx-%lx", pid, m->from, m->to);
	else
		n = snprintf(path, PATH_SIZE, "/proc/%u/root%s", pid, m->name);
	return n < PATH_SIZE;
}

/* The file that the process maps, probed if it is new and holds a library. *budget: files that may
 * still be read. *hidden becomes true where it may hold one, but is not to be opened. */
static struct tls_file *find(
	struct tls_files *t, uint32_t pid, const struct mapping *m, unsigned *budget, bool *hidden)
{
	char path[PATH_SIZE];
	struct tls_file *f;
	struct stat st;
	uint64_t key;
	uint32_t i;

	if (!path_of(pid, m, path))
		return NULL;
	if (stat(path, &st)) {
		*hidden |= m->deleted && errno == EPERM && strstr(m->name, ".so");
		return NULL;
	}
	if (!S_ISREG(st.st_mode))
		return NULL;
	key = key_of(path, &st);
	i = table_find(&t->by_key, key);
	if (i != TABLE_NONE) {
		f = &t->v[i];
		if (f->again_ns && clock_monotonic() >= f->again_ns)
			probe(t, f, path, m->name, pid, false);
		return f;
	}
	f = *budget ? place(t) : NULL;
	if (!f)
		return NULL;
	--*budget;
	f->key = key;
	f->idle_ns = clock_monotonic();
	table_put(&t->by_key, key, (uint32_t)(f - t->v));
	probe(t, f, path, m->name, pid, false);
	return f;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static void map(struct tls_files *t, struct tls_file *f, struct tls_mapped *m)
{
	uint16_t index = (uint16_t)(f - t->v);

	if (!f->probes && !f->refused && !f->go)
		return;
	for (unsigned i = 0; i < m->n; i++)
		if (m->v[i] == index)
			return;
	if (m->n == ARRAY_SIZE(m->v))
		return;
	m->v[m->n++] = index;
	f->users++;
}

/* What else a look has found. */
struct seen {
	bool java, rust, hidden, put_off;
};

static enum tls_state state_of(
	const struct tls_files *t, const struct tls_mapped *m, const struct seen *seen)
{
	bool refused = false;
	unsigned others = 0;

	for (unsigned i = 0; i < m->n; i++) {
		const struct tls_file *f = &t->v[m->v[i]];

		if (f->probes && !f->hands)
			return TLS_PROBED;
		refused |= f->refused;
		others += !f->probes;
	}
	if (others)
		return refused ? TLS_REFUSED : TLS_GO;
	if (seen->put_off)
		return TLS_REFUSED;
	if (seen->hidden)
		return TLS_HIDDEN;
	if (seen->java)
		return TLS_JAVA;
	return seen->rust ? TLS_RUST : TLS_NO_LIBRARY;
}

void tls_files_look(struct tls_files *t, uint32_t pid, struct tls_mapped *m)
{
	_fclose_ FILE *maps = NULL;
	_free_ char *line = NULL, *name = NULL;
	char path[32], way[PATH_SIZE];
	size_t cap = 0;
	struct tls_file *hands = NULL;
	uint64_t key = 0;
	struct seen seen = {0};
	unsigned budget = NEW_MAX;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "re");
	while (maps && getline(&line, &cap, maps) > 0) {
		struct mapping mapping;
		struct tls_file *f;

		if (!read_mapping(line, &mapping))
			continue;
		seen.java |= ends_with(mapping.name, "/libjvm.so");
		f = find(t, pid, &mapping, &budget, &seen.hidden);
		if (!f)
			continue;
		seen.rust |= f->rust;
		seen.put_off |= f->again_ns && !f->refused;
		if (f->hands && !f->probes && !f->refused && !name && path_of(pid, &mapping, way)) {
			hands = f;
			key = f->key;
			name = strdup(mapping.name);
		}
		map(t, f, m);
	}
	m->state = state_of(t, m, &seen);
	/* another file can have got its place meanwhile */
	if (name && m->state == TLS_PROBED && hands->key == key) {
		probe(t, hands, way, name, pid, true);
		map(t, hands, m);
	}
}

void tls_files_give(struct tls_files *t, struct tls_mapped *m, uint64_t now_ns)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct tls_file *f = &t->v[m->v[i]];

		f->users--;
		f->idle_ns = now_ns;
	}
	*m = (struct tls_mapped){0};
}

void tls_files_age(struct tls_files *t, uint64_t now_ns)
{
	for (unsigned i = 0; i < FILES; i++) {
		struct tls_file *f = &t->v[i];

		if (f->probes && !f->users && now_ns - f->idle_ns > LINGER_NS)
			forget(t, f);
	}
}

void tls_files_count(const struct tls_files *t, unsigned *ret_probed, uint64_t *ret_refused)
{
	*ret_probed = t->probed;
	*ret_refused = t->refusals;
}
