// Uploads files that are chosen or dropped, one by one, by PUT into this folder.
const upload = document.querySelector('.upload');
const chosen = upload.querySelector('input');
const state = upload.querySelector('output');
const reasons = {409: 'there is a file of this name', 413: 'too large', 507: 'the disk is full'};
const send = (file, show) => new Promise(done => {
  const request = new XMLHttpRequest();
  request.open('PUT', './' + encodeURIComponent(file.name));
  request.upload.onprogress = event => show(event.loaded / (event.total || 1));
  request.onload = () => done(request.status);
  request.onerror = () => done(0);
  request.send(file);
});
const sendAll = async files => {
  const failed = [];
  for (const [number, file] of [...files].entries()) {
    const place = files.length > 1 ? `${number + 1} of ${files.length}, ` : '';
    const status = await send(file, part => { state.value = `${place}${Math.floor(part * 100)} %`; });
    if (status !== 201) failed.push(`${file.name}: ${reasons[status] || `not stored (${status})`}`);
  }
  state.value = failed.join('; ');
  if (!failed.length) location.reload();
};
upload.hidden = false;
chosen.addEventListener('change', () => sendAll([...chosen.files]));
document.addEventListener('dragover', event => event.preventDefault());
document.addEventListener('drop', event => {
  event.preventDefault();
  if (event.dataTransfer.files.length) sendAll([...event.dataTransfer.files]);
});
