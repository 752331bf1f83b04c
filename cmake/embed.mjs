// Writes the files below a directory as one C++ source: each as it is, by gzip and by brotli.
// usage: node embed.mjs DIST OUTPUT
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const types = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.ico': 'image/x-icon', '.json': 'application/json',
  '.webmanifest': 'application/manifest+json', '.woff2': 'font/woff2', '.txt': 'text/plain; charset=utf-8',
  '.map': 'application/json',
};
// Already compressed.
const packed = new Set(['.png', '.woff2', '.ico']);

function files_below(directory, prefix = '') {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => entry.isDirectory()
      ? files_below(join(directory, entry.name), `${prefix}/${entry.name}`)
      : [{ path: `${prefix}/${entry.name}`, bytes: readFileSync(join(directory, entry.name)) }]);
}

function array(name, bytes) {
  let out = `constexpr unsigned char ${name}[] = {`;
  for (let i = 0; i < bytes.length; i++) out += (i % 32 === 0 ? '\n' : '') + bytes[i] + ',';
  return out + '};\n';
}

const view = (name, bytes) => (bytes ? `view(${name})` : '{}');

const [dist, output] = process.argv.slice(2);
let arrays = '';
let table = '';
files_below(dist).forEach(({ path, bytes }, i) => {
  const extension = extname(path);
  const type = types[extension] ?? 'application/octet-stream';
  if (bytes.length === 0) return;
  const shrinks = !packed.has(extension) && bytes.length > 200;
  const gzip = shrinks ? gzipSync(bytes, { level: 9 }) : null;
  const brotli = shrinks ? brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  }) : null;
  arrays += array(`kFile${i}`, bytes);
  if (gzip) arrays += array(`kGzip${i}`, gzip);
  if (brotli) arrays += array(`kBrotli${i}`, brotli);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  const hashed = path.startsWith('/assets/');
  table += `    {${JSON.stringify(path)}, ${JSON.stringify(type)}, view(kFile${i}), ${view(`kGzip${i}`, gzip)}, ` +
    `${view(`kBrotli${i}`, brotli)}, "${hash}", ${hashed}},\n`;
});
writeFileSync(output, `#include "api/static_files.h"

namespace spanloom::api {
namespace {

${arrays}
template <size_t size>
std::string_view view(const unsigned char (&bytes)[size]) {
    return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

std::span<const StaticFile> embedded_files() {
    static const StaticFile files[] = {
${table}    };
    return files;
}

}  // namespace spanloom::api
`);
