/* SPDX-License-Identifier: Apache-2.0 */
#include "config_load.h"

#include "core/cleanup.h"

#include <errno.h>
#include <sys/stat.h>
#include <yaml.h>

#define FILE_MAX_BYTES (1 << 20)
#define SECTIONS_MAX   16
#define PATH_BYTES     160

struct yaml_file {
	struct config_load *load;
	const char *path;
	yaml_document_t *doc;
	unsigned line[CONFIG_OPTIONS_MAX]; /* where an option was given, 0 not yet */
	struct {
		const char *key; /* of an option in it: its part before the dot */
		unsigned line;
	} sections[SECTIONS_MAX];
	unsigned section_count;
};

static unsigned line_of(const yaml_node_t *node)
{
	return (unsigned)node->start_mark.line + 1;
}

static struct slice text_of(const yaml_node_t *node)
{
	return slice_of(node->data.scalar.value, node->data.scalar.length);
}

static bool is_null(const yaml_node_t *node)
{
	struct slice text;

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	text = text_of(node);
	return !text.len || slice_eq(text, SLICE("~")) || slice_eq(text, SLICE("null"));
}

static const char *kind_of(const yaml_node_t *node)
{
	if (is_null(node))
		return "empty";
	return node->type == YAML_MAPPING_NODE    ? "a map"
	       : node->type == YAML_SEQUENCE_NODE ? "a list"
						  : "a single value";
}

static void place_of(const struct yaml_file *f, const yaml_node_t *node, unsigned option,
	char *ret_text, size_t cap)
{
	snprintf(ret_text, cap, "%s:%u: %s", f->path, line_of(node), options[option].key);
}

static void refuse_kind(const struct yaml_file *f, const yaml_node_t *node, unsigned option)
{
	char expected[160];

	option_expected(&options[option], expected, sizeof(expected));
	config_error(f->load->errors, "%s:%u: %s: is %s, expected %s", f->path, line_of(node),
		options[option].key, kind_of(node), expected);
}

/* One item of a list: text, or for rules also a map of one key, {port: 80}. */
static void read_item(struct yaml_file *f, unsigned option, const yaml_node_t *item)
{
	bool rules = options[option].type == OPT_INCLUDE || options[option].type == OPT_EXCLUDE;
	const yaml_node_pair_t *pair = item->data.mapping.pairs.start;
	const yaml_node_t *key, *value;
	char place[400], text[400];

	place_of(f, item, option, place, sizeof(place));
	if (item->type == YAML_SCALAR_NODE && !is_null(item)) {
		config_set_text(f->load, option, place, text_of(item), false, false);
		return;
	}
	if (!rules || item->type != YAML_MAPPING_NODE) {
		config_error(f->load->errors, "%s: an item is %s, expected %s", place,
			kind_of(item), rules ? "kind=value or {kind: value}" : "a name");
		return;
	}
	if (item->data.mapping.pairs.top - pair != 1) {
		config_error(f->load->errors,
			"%s: a rule has one key, not %td: write further ones as items of their own",
			place, item->data.mapping.pairs.top - pair);
		return;
	}
	key = yaml_document_get_node(f->doc, pair->key);
	value = yaml_document_get_node(f->doc, pair->value);
	if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE) {
		config_error(f->load->errors, "%s: expected {kind: value}", place);
		return;
	}
	snprintf(text, sizeof(text), "%.*s=%.*s", (int)key->data.scalar.length,
		(const char *)key->data.scalar.value, (int)value->data.scalar.length,
		(const char *)value->data.scalar.value);
	config_set_text(f->load, option, place, slice_str(text), false, false);
}

static void read_pairs(struct yaml_file *f, unsigned option, const yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(f->doc, p->key);
		const yaml_node_t *value = yaml_document_get_node(f->doc, p->value);
		char place[400], reason[OPTION_REASON_BYTES];

		place_of(f, key, option, place, sizeof(place));
		if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE ||
			is_null(value))
			config_error(f->load->errors, "%s: expected name: value", place);
		else if (option_set_pair(&options[option], f->load->config, text_of(key),
				 text_of(value), reason) < 0)
			config_error(f->load->errors, "%s: %s", place, reason);
	}
}

static void read_option(struct yaml_file *f, unsigned option, const yaml_node_t *node)
{
	const struct option *o = &options[option];
	bool pairs = o->type == OPT_HEADERS || o->type == OPT_ATTRIBUTES;
	char place[400];

	if (f->line[option]) {
		config_error(f->load->errors, "%s:%u: %s: given twice, first in line %u", f->path,
			line_of(node), o->key, f->line[option]);
		return;
	}
	f->line[option] = line_of(node);
	config_begin(f->load, option,
		(struct config_origin){.source = SOURCE_FILE, .line = line_of(node)});
	if (option_is_list(o) && node->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = node->data.sequence.items.start;
			i < node->data.sequence.items.top; i++)
			read_item(f, option, yaml_document_get_node(f->doc, *i));
	} else if (option_is_list(o) && node->type == YAML_MAPPING_NODE) {
		refuse_kind(f, node, option);
	} else if (pairs && node->type == YAML_MAPPING_NODE) {
		read_pairs(f, option, node);
	} else if (node->type != YAML_SCALAR_NODE || is_null(node)) {
		refuse_kind(f, node, option);
	} else {
		place_of(f, node, option, place, sizeof(place));
		config_set_text(f->load, option, place, text_of(node), true, false);
	}
}

/* A key of an option that lies in this section; NULL if there is no such section. */
static const char *section_key(struct slice name)
{
	for (unsigned i = 0; i < option_count; i++)
		if (strlen(options[i].key) > name.len && options[i].key[name.len] == '.' &&
			memcmp(options[i].key, name.ptr, name.len) == 0)
			return options[i].key;
	return NULL;
}

static void refuse_key(const struct yaml_file *f, const yaml_node_t *key, struct slice path)
{
	struct slice near = option_near_key(path);
	char quoted[OPTION_QUOTE_BYTES];

	option_quote(path, quoted);
	quoted[strlen(quoted) - 1] = '\0';
	if (near.len)
		config_error(f->load->errors, "%s:%u: %s: unknown key (did you mean %.*s?)",
			f->path, line_of(key), quoted + 1, (int)near.len, near.ptr);
	else
		config_error(f->load->errors,
			"%s:%u: %s: unknown key (weft check-config --reference lists all)", f->path,
			line_of(key), quoted + 1);
}

static void read_section(struct yaml_file *f, struct slice prefix, const yaml_node_t *map);

static void enter_section(struct yaml_file *f, const char *section, struct slice name,
	const yaml_node_t *key, const yaml_node_t *value)
{
	for (unsigned i = 0; i < f->section_count; i++)
		if (f->sections[i].key == section) {
			config_error(f->load->errors, "%s:%u: %.*s: given twice, first in line %u",
				f->path, line_of(key), (int)name.len, name.ptr,
				f->sections[i].line);
			return;
		}
	if (f->section_count < SECTIONS_MAX) {
		f->sections[f->section_count].key = section;
		f->sections[f->section_count++].line = line_of(key);
	}
	if (value->type == YAML_MAPPING_NODE)
		read_section(f, name, value);
	else if (!is_null(value)) /* all its lines may be comments */
		config_error(f->load->errors,
			"%s:%u: %.*s: is %s, expected a map of options such as %s", f->path,
			line_of(value), (int)name.len, name.ptr, kind_of(value), section);
}

static void read_section(struct yaml_file *f, struct slice prefix, const yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(f->doc, p->key);
		const yaml_node_t *value = yaml_document_get_node(f->doc, p->value);
		const char *section;
		char path[PATH_BYTES];
		int option;

		if (key->type != YAML_SCALAR_NODE) {
			config_error(f->load->errors, "%s:%u: a key is %s, expected a word",
				f->path, line_of(key), kind_of(key));
			continue;
		}
		snprintf(path, sizeof(path), "%.*s%s%.*s", (int)prefix.len,
			prefix.len ? prefix.ptr : "", prefix.len ? "." : "",
			(int)key->data.scalar.length, (const char *)key->data.scalar.value);
		option = option_by_key(slice_str(path));
		section = prefix.len ? NULL : section_key(slice_str(path));
		if (option >= 0)
			read_option(f, (unsigned)option, value);
		else if (section)
			enter_section(f, section, slice_str(path), key, value);
		else
			refuse_key(f, key, slice_str(path));
	}
}

static void refuse_syntax(const struct config_load *load, const char *path, const yaml_parser_t *p)
{
	const char *hint = p->problem && strstr(p->problem, "cannot start any token")
				   ? " (a tab? YAML is indented with spaces)"
				   : "";

	config_error(load->errors, "%s:%zu: %s%s%s%s", path, p->problem_mark.line + 1,
		p->context ? p->context : "", p->context ? ", " : "",
		p->problem ? p->problem : "not YAML", hint);
}

static void read_document(struct config_load *load, const char *path, yaml_document_t *doc)
{
	struct yaml_file f = {.load = load, .path = path, .doc = doc};
	const yaml_node_t *root = yaml_document_get_root_node(doc);

	if (!root || is_null(root))
		return;
	if (root->type != YAML_MAPPING_NODE)
		config_error(load->errors, "%s:%u: is %s, expected a map of options", path,
			line_of(root), kind_of(root));
	else
		read_section(&f, (struct slice){0}, root);
}

void config_read_yaml(struct config_load *load, const char *path)
{
	_fclose_ FILE *file = fopen(path, "re");
	yaml_document_t doc, further;
	yaml_parser_t parser;
	struct stat st;

	if (!file) {
		if (errno != ENOENT || !load->quiet_file)
			config_error(load->errors, "%s: %s", path, strerror(errno));
		return;
	}
	if (fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
		config_error(load->errors, "%s: is not a file of at most 1MiB", path);
		return;
	}
	snprintf(load->config->file, sizeof(load->config->file), "%s", path);
	if (!yaml_parser_initialize(&parser)) {
		config_error(load->errors, "%s: out of memory", path);
		return;
	}
	yaml_parser_set_input_file(&parser, file);
	if (!yaml_parser_load(&parser, &doc)) {
		refuse_syntax(load, path, &parser);
		yaml_parser_delete(&parser);
		return;
	}
	read_document(load, path, &doc);
	yaml_document_delete(&doc);
	if (yaml_parser_load(&parser, &further)) {
		const yaml_node_t *root = yaml_document_get_root_node(&further);

		if (root)
			config_error(load->errors, "%s:%u: a second document, expected one", path,
				line_of(root));
		yaml_document_delete(&further);
	} else {
		refuse_syntax(load, path, &parser);
	}
	yaml_parser_delete(&parser);
}
