/** Pages of SSL5: data, checkpoints, devices and running. The mistakes are mostly not in a program: prose and commands. */
import { shortModel, type PageText } from './page.js';

export const runningPages: Readonly<Record<string, PageText>> = {
  SSL5001: {
    title: 'a file that cannot be used',
    explanation: 'The file cannot be opened or used as asked; the message says why.',
    wrong: 'A file of images that only another user may read\n',
    right: 'The same file, after `chmod a+r`\n',
  },
  SSL5002: {
    title: 'an unknown kind of data',
    explanation: 'The `data` entry names a loader that does not exist.',
    wrong: 'Another program that opens data `{ kind: "idxx" }`; in `.ssl` this is SSL1001\n',
    right: 'The kind `idx`\n',
  },
  SSL5003: {
    title: 'an unknown argument of a data entry',
    explanation: 'The loader does not take this argument. Arguments are never ignored silently.',
    wrong: 'Another program that gives `idx` an argument `image`; in `.ssl` this is SSL1006\n',
    right: 'The argument `images`\n',
  },
  SSL5004: {
    title: 'a missing or unfit argument of a data entry',
    explanation: 'The loader needs this argument, or got a value of another kind.',
    wrong: `${shortModel}train m {\n  data idx(images: 3)\n}\n`,
    right: `${shortModel}train m {\n  data idx(images: "train-images.gz")\n}\n`,
  },
  SSL5005: {
    title: 'data that is not there',
    explanation: 'Nothing lies at this path. Paths are relative to the file that names them.',
    wrong: `${shortModel}train m {\n  data images("pictrues")\n}\n`,
    right: `${shortModel}train m {\n  data images("pictures")\n}\n`,
  },
  SSL5006: {
    title: 'data outside the project',
    explanation: 'The data of a shared spec must lie in or below the folder it is run from, so that a spec can read nothing else.',
    wrong: 'train m {\n  data images("../../private")\n}\n',
    right: 'train m {\n  data images("pictures")\n}\n',
  },
  SSL5010: {
    title: 'a file that is cut short',
    explanation: 'The header promises more bytes than the file has. It was probably not copied to its end.',
    wrong: 'A download that broke off in the middle of train-images-idx3-ubyte.gz\n',
    right: 'The whole file, fetched again\n',
  },
  SSL5011: {
    title: 'not an IDX file',
    explanation: 'IDX files begin with 00 00, the type of their elements (08 for unsigned bytes) and their rank.',
    wrong: 'data idx(images: "photo.png")\n',
    right: 'data idx(images: "train-images-idx3-ubyte.gz")\n',
  },
  SSL5012: {
    title: 'a file longer than it says',
    explanation: 'The sizes in the header account for fewer bytes than the file has, so one of them is wrong.',
    wrong: 'A file with bytes appended after its last image\n',
    right: 'The file as it was published\n',
  },
  SSL5013: {
    title: 'a file with other content than expected',
    explanation: 'Sizes, counts or types in the file differ from what the model or the other files ask for.',
    wrong: '60000 images beside 10000 labels\n',
    right: '60000 images beside 60000 labels\n',
  },
  SSL5014: {
    title: 'a damaged file',
    explanation: 'The file was recognised, and its content cannot be decoded.',
    wrong: 'A PNG whose last rows are missing\n',
    right: 'The same picture, fetched or made again\n',
  },
  SSL5015: {
    title: 'no pictures to read',
    explanation: 'A folder of pictures needs at least two JPEG, PNG or WebP files that can be decoded.',
    wrong: `${shortModel}train m {\n  data images("empty")\n}\n`,
    right: `${shortModel}train m {\n  data images("pictures")\n}\n`,
  },
  SSL5016: {
    title: 'pictures left out',
    explanation: 'Some files could not be decoded. Training goes on without them; the first are named.',
    wrong: 'A folder in which three of a thousand pictures are damaged\n',
    right: 'The folder without them, or with sound copies\n',
  },
  SSL5017: {
    title: 'a picture that can no longer be read',
    explanation: 'A set of pictures that is too large for memory is decoded while training. Every picture could be decoded when the data was opened, and this one has been removed or changed since. The last checkpoint is kept.',
    wrong: 'A picture deleted while training\n',
    right: 'The picture put back, then `sslc train RUN --resume`\n',
  },
  SSL5018: {
    title: 'pictures without a partner',
    explanation: 'Pairs are made of two files with the same name, one in each folder; the extension may differ. Others are left out; the first are named.',
    wrong: 'first/cat.png, first/dog.png; second/cat.webp\n',
    right: 'first/cat.png, first/dog.png; second/cat.webp, second/dog.webp\n',
  },
  SSL5020: {
    title: 'a batch larger than the data',
    explanation: 'The data has fewer examples than one batch asks for.',
    wrong: '$ sslc train small.ssl --set batch=512\n',
    right: '$ sslc train small.ssl --set batch=64\n',
  },
  SSL5021: {
    title: 'no checkpoint to go on from',
    explanation: 'The run folder has no checkpoint yet: the run ended before its first one was written.',
    wrong: '$ sslc train simclr.ssl --resume --out runs/new\n',
    right: '$ sslc train simclr.ssl --out runs/new\n',
  },
  SSL5022: {
    title: 'parameters of another model',
    explanation: 'A tensor in the file has another shape than this model asks for, or is missing.',
    wrong: '$ sslc train simclr.ssl --params vicreg.safetensors\n',
    right: '$ sslc train simclr.ssl --params simclr.safetensors\n',
  },
  SSL5023: {
    title: 'not a safetensors file',
    explanation: 'The file does not begin with the length and the table of contents that safetensors files have.',
    wrong: '$ sslc call f.ssl f --inputs picture.png\n',
    right: '$ sslc call f.ssl f --inputs inputs.safetensors\n',
  },
  SSL5024: {
    title: 'a run resumed with other options',
    explanation: 'A resumed run continues bit for bit, which is only possible with what it was started with.',
    wrong: '$ sslc train simclr.ssl --resume --seed 2\n',
    right: '$ sslc train simclr.ssl --resume\n',
  },
  SSL5025: {
    title: 'a folder that already holds a run',
    explanation: 'Runs are not overwritten.',
    wrong: '$ sslc train simclr.ssl --out runs/first\n',
    right: '$ sslc train simclr.ssl --out runs/second\n',
  },
  SSL5030: {
    title: 'training that stopped',
    explanation: 'A loss or gradient is no longer a finite number, or a guard that was asked for stopped the run. The message names the last good checkpoint.',
    wrong: 'optimizer sgd(rate: 1000)\n',
    right: 'optimizer sgd(rate: 0.1)\n',
  },
  SSL5031: {
    title: 'something that cannot be evaluated',
    explanation: 'The evaluation needs something that the data or the model does not offer, such as labels.',
    wrong: '$ sslc evaluate runs/without-labels\n',
    right: '$ sslc embed runs/without-labels pictures -o out.npy\n',
  },
};
