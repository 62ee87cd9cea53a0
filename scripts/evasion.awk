# The page of scripts/evasion: consoles of guests and what the suite prints become one file in `to` for each kernel and
# source, with a column for each file system. Before each input comes a line "@@ input". A later input wins over an
# earlier one; the page itself comes last and only fills in.

# One outcome.
function put(technique, outcome) {
	if (page && ((section, place, technique) in cell))
		return
	if (!(technique in known)) {
		known[technique] = 1
		techniques[++count] = technique
	}
	take_column()
	delete lacking[section, place]
	cell[section, place, technique] = outcome
}

function take_column() {
	if (!(section in sections)) {
		sections[section] = 1
	}
	if ((section, place) in has)
		return
	has[section, place] = 1
	# The usual ones come first, in this order.
	if (index(USUAL, " " place " ") == 0)
		others[section] = others[section] place " "
}

# The file systems that the guest of the input could not have: of its kernel and source a table must tell.
function end_input(    i, why) {
	for (i = 1; i <= missing && section != ""; i++) {
		place = missing_place[i]
		if ((section, place) in has)
			continue
		take_column()
		lacking[section, place] = missing_why[i]
	}
	missing = 0
	section = ""
	table = page = 0
}

function outcome(place, technique) {
	if ((section, place) in lacking)
		return "not run: " lacking[section, place]
	return (section, place, technique) in cell ? cell[section, place, technique] : "?"
}

# A table of all techniques that were tried anywhere under this kernel and source.
function write_section(    file, columns, n, i, t, head, rule, row, tried) {
	file = to section
	n = split(USUAL others[section], order, " ")
	for (i = 1; i <= n; i++) {
		if (!((section, order[i]) in has))
			continue
		shown[++columns] = order[i]
		head = head " " order[i] " |"
		rule = rule "---|"
	}
	printf "## %s\n\n| technique |%s\n|---|%s\n", section, head, rule >file
	for (t = 1; t <= count; t++) {
		row = "| " techniques[t] " |"
		tried = 0
		for (i = 1; i <= columns; i++) {
			row = row " " outcome(shown[i], techniques[t]) " |"
			tried += (section, shown[i], techniques[t]) in cell
		}
		if (tried)
			print row >file
	}
	close(file)
}

BEGIN { USUAL = " ext4 tmpfs xfs btrfs btrfs-subvolume overlay " }

/^@@ input$/ { end_input(); next }
/^@@ evasion table: / {
	split(substr($0, 19), part, ", ")
	section = part[1] ", " part[3]
	place = part[2]
	table = 1
	next
}
/^@@ evasion table ends/ { table = 0 }
/^not run: on [^:]*: / {
	match($0, /^not run: on [^:]*: /)
	missing_place[++missing] = substr($0, 13, RLENGTH - 14)
	missing_why[missing] = substr($0, RLENGTH + 1)
	next
}
/^## / { section = substr($0, 4); page = 1; next }

/^\| / && (table || page) {
	sub(/^\| /, "")
	sub(/ +\|$/, "")
	fields = split($0, part, / +\| */)
	if (part[1] == "technique") {
		for (i = 2; i <= fields; i++) column[i] = part[i]
		next
	}
	if (table) {
		put(part[1], part[2] (part[3] == "" ? "" : " " part[3]))
		next
	}
	for (i = 2; i <= fields; i++) {
		place = column[i]
		put(part[1], part[i])
	}
}

END {
	end_input()
	for (section in sections) write_section()
}
