#!/bin/sh
# gzip-1.12: run it once in the place where the package is to stay. Text files that
# name the folder for which the port was built will name this one instead;
# binaries keep the name.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
was='/opt/zfarm/gzip/1\.12'
to=$(printf '%s\n' "${here}" | sed 's/[\\&|]/\\&/g')
work="${here}/.zfarm-setup"
while IFS= read -r name; do
	file="${here}/${name}"
	sed -e "s|${was}\([^A-Za-z0-9._+-]\)|${to}\1|g" -e "s|${was}\$|${to}|" "${file}" >"${work}"
	if [ -w "${file}" ]; then
		cat "${work}" >"${file}"
	else
		chmod u+w "${file}"
		cat "${work}" >"${file}"
		chmod u-w "${file}"
	fi
done <<'END'
./bin/zcat
END
rm -f "${work}"
